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
    $wasThere = Test-Path -LiteralPath $Path
    if ($wasThere -and -not $Account) {
        # Anybody may make folders in ProgramData, and would then own what the system is to run.
        $owner = (Get-Acl -LiteralPath $Path).GetOwner([System.Security.Principal.SecurityIdentifier]).Value
        if ('S-1-5-18', 'S-1-5-32-544' -notcontains $owner) {
            throw "$Path is there already, and not the administrators' own. Look at what is in it, and move it away."
        }
    }
    $null = New-Item -ItemType Directory -Path $Path -Force
    # By number: in other languages the groups have other names.
    $grant = @()
    if (-not $wasThere -or -not $Account) {
        $grant += '/inheritance:r', '/grant:r', '*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F'
    }
    if (-not $Account) {
        $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $Path, '/setowner', '*S-1-5-32-544'
    } else {
        $grant += '/grant', "${Account}:(OI)(CI)M"
    }
    $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument (@($Path) + $grant)
    if ((Get-Item -LiteralPath $Path).Attributes -band [System.IO.FileAttributes]::Compressed) {
        $null = Invoke-SnapMirrorNative -Program 'compact.exe' -Argument '/u', $Path
    }
}
