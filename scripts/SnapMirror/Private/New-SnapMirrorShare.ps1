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
    if ($share) {
        $null = Set-SmbShare -Name $Name -EncryptData $true -CachingMode None -Force
        return
    }
    $sid = (Get-SnapMirrorAccount -Name $Account).SID.Value
    $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/grant', "*${sid}:(OI)(CI)M"
    # With the computer's name: a domain may have an account of that name, too.
    $null = New-SmbShare -Name $Name -Path $Path -ChangeAccess "$env:COMPUTERNAME\$Account" -EncryptData $true -CachingMode None -Description $Description
}
