function New-SnapMirrorShare {
    # A folder, shared for one account, encrypted on the wire.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Account
    )

    $share = Get-SmbShare -Name $Name -ErrorAction SilentlyContinue
    if ($share -and $share.Path -ne $Path) {
        throw "The share $Name is there already, for $($share.Path). Take another -ShareName, or remove it."
    }
    if (-not $PSCmdlet.ShouldProcess("$Name ($Path)", "share for $Account, encrypted")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    if ($share) {
        Set-SmbShare -Name $Name -EncryptData $true -CachingMode None -Force
        return
    }
    $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/grant', "${Account}:(OI)(CI)M"
    $null = New-SmbShare -Name $Name -Path $Path -ChangeAccess $Account -EncryptData $true -CachingMode None -Description 'snapmirror'
}
