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
    Set-SnapMirrorAwake -Awake $true
    try {
        Start-SnapMirrorVM
        New-SnapMirrorShare -Name $shareName -Path $folder -Account $setting.Account
        $answer = Invoke-SnapMirrorCommand -Word ($word + "//$($setting.HostAddress)/$shareName")
    } finally {
        Get-SmbShare -Name $shareName -ErrorAction SilentlyContinue | Remove-SmbShare -Force
        Set-SnapMirrorAwake -Awake $false
    }
    $answer.Output
    $global:LASTEXITCODE = $answer.ExitCode
    if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
        $PSCmdlet.WriteError((New-SnapMirrorError -Command 'copy-image' -ExitCode $answer.ExitCode -Said $answer.Said))
    }
}
