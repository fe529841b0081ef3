function Set-SnapMirrorSetting {
    # Write the settings down for the other commands.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting
    )

    $path = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'settings.json'
    if ($PSCmdlet.ShouldProcess($path, 'write the settings')) {
        Write-SnapMirrorText -Path $path -Text (ConvertTo-Json -InputObject $Setting)
    }
}
