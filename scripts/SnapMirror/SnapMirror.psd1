@{
    RootModule           = 'SnapMirror.psm1'
    ModuleVersion        = '0.1.0'
    GUID                 = '00eaba23-6be4-47d8-ba74-4721ca263765'
    Author               = 'The snapmirror project'
    CompanyName          = 'The snapmirror project'
    Copyright            = '(c) The snapmirror project'
    Description          = 'Nightly, dated, unchanging backups of Linux servers on a Windows host: sets up and drives the VM that makes them.'
    PowerShellVersion    = '5.1'
    CompatiblePSEditions = @('Desktop', 'Core')
    FormatsToProcess     = @('SnapMirror.Format.ps1xml')
    FunctionsToExport    = @(
        'Copy-SnapMirrorImage'
        'Get-SnapMirrorInstallation'
        'Get-SnapMirrorSnapshot'
        'Get-SnapMirrorStatus'
        'Install-SnapMirror'
        'Invoke-SnapMirrorRun'
        'Repair-SnapMirrorSnapshot'
        'Restore-SnapMirrorItem'
        'Show-SnapMirrorHistory'
        'Test-SnapMirrorHost'
        'Test-SnapMirrorSnapshot'
        'Uninstall-SnapMirror'
    )
    CmdletsToExport      = @()
    VariablesToExport    = @()
    AliasesToExport      = @()
    PrivateData          = @{
        PSData = @{
            Tags         = @('Backup', 'Snapshot', 'rsync', 'Linux', 'HyperV', 'PSEdition_Desktop', 'PSEdition_Core', 'Windows')
            # (no LicenseUri and no ProjectUri: the project has neither a licence nor a page yet)
            ReleaseNotes = 'First version. Needs Hyper-V and the helper VM of the same version. Run by PowerShell 7 on Linux, on doubles of Windows; not yet on Windows itself: first-run.ps1 of the project tries it, and writes a report.'
        }
    }
}
