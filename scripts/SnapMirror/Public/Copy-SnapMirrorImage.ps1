function Copy-SnapMirrorImage {
    <#
    .SYNOPSIS
        Copies the closed image to an external USB disk: sparse, only what has changed, read back.
    .DESCRIPTION
        Shares the folder with the VM's account for as long as it takes, encrypted, and runs 'snapmirror copy-image' in the
        VM. A copy that is there stays good until the new one is complete and was read back. Never while a night runs: that
        is exit code 10. The disk must be formatted with NTFS or ReFS: FAT and exFAT have no sparse files.
    .PARAMETER Path
        A folder on the USB disk. It must exist: a disk that is not plugged in must not fill C:.
    .PARAMETER Full
        Read all of the copy that is there as well, and compare it.
    .EXAMPLE
        Copy-SnapMirrorImage -Path E:\Backup

        Makes E:\Backup\snapmirror.img, or brings it up to date.
    .EXAMPLE
        Copy-SnapMirrorImage -Path E:\Backup -Full -WhatIf

        Only says what would be done.
    .OUTPUTS
        SnapMirror.Copy
    .LINK
        Invoke-SnapMirrorRun
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('SnapMirror.Copy')]
    param(
        [Parameter(Mandatory, Position = 0)] [string] $Path,
        [switch] $Full
    )

    $setting = Get-SnapMirrorSetting
    $folder = (Resolve-Path -LiteralPath $Path -ErrorAction Stop).ProviderPath
    if (-not $PSCmdlet.ShouldProcess($folder, 'copy the image')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $word = @('copy-image', '--json')
    if ($Full) {
        $word += '--full'
    }
    $shareName = "$($setting.ShareName)-copy"
    $described = 'snapmirror: for as long as a copy runs'
    try {
        # Held until the copy ends, also by a process that is killed: a share that is there without it is left over.
        $lock = [System.IO.File]::Open((Join-Path (Get-SnapMirrorHome) 'copy.lock'), 'OpenOrCreate', 'ReadWrite', 'None')
    } catch [System.IO.IOException] {
        throw 'Another copy of the image runs. Wait for its end.'
    }
    $made = $false
    try {
        $sid = Get-SnapMirrorAccountNumber -Account $setting.Account # (the account may be gone when the copy ends)
        $other = Get-SmbShare -ErrorAction Stop | Where-Object -Property Name -EQ -Value $shareName
        if ($other -and $other.Description -ne $described) {
            throw "There is a share $shareName already, for $($other.Path), which is not of snapmirror. Remove it, or rename it."
        }
        if ($other) {
            Revoke-SnapMirrorFolder -Path $other.Path -Sid $sid
            Remove-SmbShare -Name $shareName -Force -Confirm:$false -ErrorAction Stop
        }
        Set-SnapMirrorAwake -Awake $true
        Start-SnapMirrorVM
        $made = $true
        & {
            $ErrorActionPreference = 'Stop'
            $PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop'; '*:Confirm' = $false }
            New-SnapMirrorShare -Name $shareName -Path $folder -Account $setting.Account -Description $described
        }
        $answer = Invoke-SnapMirrorCommand -Word ($word + "//$($setting.HostAddress)/$shareName") -Activity 'Copy-SnapMirrorImage'
    } finally {
        try {
            if ($made) {
                # The rights first: a share that is left over tells the next call, and Uninstall-SnapMirror, of them.
                if ($folder -ne $setting.SharePath) {
                    Revoke-SnapMirrorFolder -Path $folder -Sid $sid
                }
                Get-SmbShare | Where-Object -Property Name -EQ -Value $shareName | Remove-SmbShare -Force -Confirm:$false -ErrorAction $ErrorActionPreference
            }
        } finally {
            Set-SnapMirrorAwake -Awake $false
            $lock.Dispose()
        }
    }
    $answer.Output
    $global:LASTEXITCODE = $answer.ExitCode
    if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
        $PSCmdlet.WriteError((New-SnapMirrorError -Command 'copy-image' -ExitCode $answer.ExitCode -Said $answer.Said))
    }
}
