function New-SnapMirrorFolder {
    # A folder for administrators and the system, and for the account, if one is named. NTFS does not compress it. A
    # folder that was there keeps the rights that it had, except our own, which holds keys.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Path,
        [string] $Account
    )

    if (-not $PSCmdlet.ShouldProcess($Path, 'make the folder, and let administrators, the system and the account in')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    # By number: in other languages the groups have other names.
    $closed = '/inheritance:r', '/grant:r', '*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F'
    if (-not (Test-Path -LiteralPath $Path)) {
        # Under another name first: what has its name has its rights, wherever this is broken off.
        $new = "$Path.new-$([guid]::NewGuid())"
        $null = New-Item -ItemType Directory -Path $new -Force
        try {
            $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $new, '/setowner', '*S-1-5-32-544'
            $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument (@($new) + $closed)
            Move-Item -LiteralPath $new -Destination $Path
        } finally {
            Remove-SnapMirrorFile -Path $new
        }
    } elseif (-not $Account) {
        # Anybody may make folders in ProgramData, and would then own what the system is to run.
        if (-not (Test-SnapMirrorOwner -Path $Path)) {
            throw "$Path is there already, and not the administrators' own. Look at what is in it, and move it away."
        }
        $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument (@($Path) + $closed)
    }
    if ($Account) {
        $sid = (Get-SnapMirrorAccount -Name $Account).SID.Value
        $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/grant', "*${sid}:(OI)(CI)M"
    }
    if ((Get-Item -LiteralPath $Path).Attributes -band [System.IO.FileAttributes]::Compressed) {
        $null = Invoke-SnapMirrorNative -Program 'compact.exe' -Argument '/u', $Path
    }
}
