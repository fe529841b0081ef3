function New-SnapMirrorShare {
    # A folder, shared for one account, encrypted on the wire.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Account,
        [string] $Description = 'snapmirror'
    )

    $share = Get-SmbShare | Where-Object -Property Name -EQ -Value $Name
    if ($share -and $share.Path -ne $Path) {
        throw "The share $Name is there already, for $($share.Path). Take another -ShareName, or remove it."
    }
    if (-not (Test-SnapMirrorShareable -Path $Path)) {
        throw "$Path cannot be shared: Windows takes no * ? [ ] in the path of a share."
    }
    if (-not $PSCmdlet.ShouldProcess("$Name ($Path)", "share for $Account, encrypted")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $sid = (Get-SnapMirrorAccount -Name $Account).SID.Value
    $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/grant', "*${sid}:(OI)(CI)M"
    if ($share) {
        # By its number, and nobody else: the list may name others, or an account of before. (0x1301bf is Change.)
        $null = Set-SmbShare -Name $Name -EncryptData $true -CachingMode None -SecurityDescriptor "O:SYG:SYD:(A;;0x1301bf;;;$sid)" -Force
        return
    }
    # With the computer's name: a domain may have an account of that name, too.
    $null = New-SmbShare -Name $Name -Path $Path -ChangeAccess "$env:COMPUTERNAME\$Account" -EncryptData $true -CachingMode None -Description $Description
}
