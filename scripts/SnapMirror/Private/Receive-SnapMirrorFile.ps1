function Receive-SnapMirrorFile {
    # Copy files and folders out of the VM, by sftp. Symbolic links are left out: sftp does not follow them.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string[]] $Path,
        [Parameter(Mandatory)] [string] $Destination
    )

    if (-not $PSCmdlet.ShouldProcess($Destination, "copy $($Path -join ', ') from the VM")) {
        return
    }
    $setting = Get-SnapMirrorSetting
    $null = New-Item -ItemType Directory -Path $Destination -Force -Confirm:$false
    $target = $Destination -replace '\\', '/'
    $line = foreach ($one in $Path) {
        'get -r -p "{0}" "{1}/"' -f ($one -replace '(["\\])', '\$1'), $target
    }
    $batch = [System.IO.Path]::GetTempFileName()
    try {
        Write-SnapMirrorText -Path $batch -Text (($line -join "`n") + "`n")
        $argument = @(Get-SnapMirrorSshOption) + @('-q', '-b', $batch, "$($setting.User)@$($setting.Address)")
        $sftp = Get-SnapMirrorProgram -Name 'sftp'
        & $sftp $argument | Write-Verbose
    } finally {
        Remove-Item -LiteralPath $batch -Confirm:$false
    }
}
