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
            ReleaseNotes = 'See README.md: Set up on Windows, start to end.'
        }
    }
}
