function Install-SnapMirror {
    <#
    .SYNOPSIS
        Sets everything up on this Windows host: share, account, VM, image and the nightly task.
    .DESCRIPTION
        Checks first whatever can be checked. Then runs its steps: account, rights, folder, share, keys, the
        VM's configuration, the wire between Windows and the VM, the VM, the image, the scheduled task. It records
        each step as it is made (installation.json, beside the settings).

        Call it again if it was interrupted: it makes what is missing. With another -Source, -At, -CopyPath, -SwitchName,
        -SeedPath or -AdminKeyPath, or a new version of this module, it says what that changes, and changes it; what is not
        named stays as it was. Other names, addresses, folders and disks are refused: Uninstall-SnapMirror first.

        Settings and keys are in C:\ProgramData\SnapMirror, for administrators only. Keep image.key and
        image.luks-header elsewhere as well: without the key all is lost.
    .PARAMETER VhdxPath
        The disk of the VM: snapmirror.vhdx, as vm/build makes it. It is copied.
    .PARAMETER SharePath
        The folder for the image, on NTFS or ReFS. Windows copies it to USB disks as any other.
    .PARAMETER SwitchName
        The Hyper-V switch by which the VM reaches the servers, with DHCP. Get-VMSwitch lists them.
    .PARAMETER Source
        What to mirror, such as root@web1.example:/. Not needed where SeedPath holds a snapmirror.toml.
    .PARAMETER MirrorName
        Its name.
    .PARAMETER ImageSize
        The size of the image as the file system in it sees it. The file takes only what is used.
    .PARAMETER SeedPath
        A folder with files for the VM that are taken before those that are made: snapmirror.toml, known_hosts,
        id_ed25519, image.key, appliance.toml. Wipe the keys in it afterwards.
    .PARAMETER AdminKeyPath
        The public key (.pub) of an administrator, who keeps the private one elsewhere. The VM lets it do what the
        everyday key of this host cannot: go on after a guard (Invoke-SnapMirrorRun -KeyFile), pin, unpin, run often.
    .PARAMETER At
        When the night begins, local time.
    .PARAMETER CopyPath
        A folder on a USB disk to which the task copies the closed image after the night.
    .PARAMETER VMName
        The name of the VM.
    .PARAMETER Account
        The name of the local account.
    .PARAMETER ShareName
        The name of the share.
    .PARAMETER Network
        The first three numbers of the addresses on the wire between Windows (.1) and the VM (.2), if these are in use.
    .PARAMETER PassThru
        Give the steps, as Get-SnapMirrorInstallation does, and not the summary.
    .EXAMPLE
        Install-SnapMirror -VhdxPath D:\snapmirror.vhdx -SharePath D:\Snapmirror -SwitchName External -Source root@web1.example:/ -WhatIf

        Says what would be done.
    .EXAMPLE
        Install-SnapMirror -VhdxPath D:\snapmirror.vhdx -SharePath D:\Snapmirror -SwitchName External -SeedPath D:\seed -At 22:30

        With a snapmirror.toml of one's own in D:\seed; the night begins at half past ten.
    .OUTPUTS
        SnapMirror.Installation: the line for the servers, what to keep, what snapmirror doctor finds. With -PassThru
        SnapMirror.InstallationStep.
    .LINK
        Test-SnapMirrorHost
    .LINK
        Get-SnapMirrorInstallation
    .LINK
        Uninstall-SnapMirror
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'Medium')]
    [OutputType('SnapMirror.Installation', 'SnapMirror.InstallationStep')]
    param(
        [Parameter(Mandatory)] [string] $VhdxPath,
        [Parameter(Mandatory)] [string] $SharePath,
        [Parameter(Mandatory)] [string] $SwitchName,
        [ValidatePattern('^[^"\\]*$')] [string] $Source,
        [ValidatePattern('^[A-Za-z0-9][A-Za-z0-9-]*$')] [string] $MirrorName = 'server',
        [ValidatePattern('^[0-9]+[MGT]$')] [string] $ImageSize = '150G',
        [string] $SeedPath,
        [string] $AdminKeyPath,
        [ValidatePattern('^([01][0-9]|2[0-3]):[0-5][0-9]$')] [string] $At = '03:00',
        [string] $CopyPath,
        [ValidatePattern('^[A-Za-z0-9-]+$')] [string] $VMName = 'snapmirror',
        [ValidatePattern('^[A-Za-z0-9-]{1,20}$')] [string] $Account = 'snapmirror',
        [ValidatePattern('^[A-Za-z0-9-]{1,74}$')] [string] $ShareName = 'snapmirror',
        [ValidatePattern('^([0-9]{1,3}\.){2}[0-9]{1,3}$')] [string] $Network = '10.253.71',
        [switch] $PassThru
    )

    $ErrorActionPreference = 'Stop'
    $journal = Get-SnapMirrorJournal
    $before = $journal.Argument
    # What is not named is as before.
    $argument = Resolve-SnapMirrorArgument -Given @($PSBoundParameters.Keys) -Cmdlet $PSCmdlet -Argument @{
        SharePath = $SharePath; SwitchName = $SwitchName; Source = $Source; MirrorName = $MirrorName; ImageSize = $ImageSize
        At = $At; CopyPath = $CopyPath; VMName = $VMName; Account = $Account; ShareName = $ShareName; Network = $Network
    }
    $sourceGiven = $PSBoundParameters.ContainsKey('Source')
    Assert-SnapMirrorHost -Argument ($argument + @{ VhdxPath = $VhdxPath })
    $VhdxPath = (Resolve-Path -LiteralPath $VhdxPath).ProviderPath
    $argument['Vhdx'] = 'disk ' + (Get-FileHash -LiteralPath $VhdxPath).Hash.Substring(0, 12)
    Assert-SnapMirrorChange -Argument $argument -SeedPath $SeedPath -SourceGiven $sourceGiven
    if ($SeedPath -and (Test-Path -LiteralPath (Join-Path $SeedPath 'snapmirror.toml'))) {
        $argument['Source'] = '' # that file says it
    }
    if ($AdminKeyPath) {
        $null = Get-SnapMirrorPublicKey -Path $AdminKeyPath
    }
    $setting = Get-SnapMirrorHostSetting -Argument $argument
    $argument['SeedFiles'] = if ($SeedPath -or $AdminKeyPath) { Get-SnapMirrorHash -Path $SeedPath, $AdminKeyPath } else { $before['SeedFiles'] }
    Show-SnapMirrorChange -Before $before -After $argument -Hidden $PSBoundParameters.ContainsKey('InformationAction')
    # (A call that was broken off before the source was written is made up for.)
    $pending = @($journal.Made | Where-Object { $_.Name -eq 'seed' -and $_.State -eq 'begun' }).Count -gt 0
    $template = @{
        HostAddress = $setting.HostAddress
        Address     = $setting.Address
        MacAddress  = ($setting.MacAddress -replace '(..)(?!$)', '$1:').ToLowerInvariant()
        ShareName   = $setting.ShareName
        ImageSize   = $argument['ImageSize']
        MirrorName  = $argument['MirrorName']
        Source      = $argument['Source']
    }
    $wish = @{
        VhdxPath = $VhdxPath; SwitchName = $SwitchName; SeedPath = $SeedPath; AdminKeyPath = $AdminKeyPath
        At = $argument['At']; CopyPath = $argument['CopyPath']; SeedFiles = $argument['SeedFiles']; Template = $template
        NewSource = [bool]$argument['Source'] -and ($sourceGiven -or $pending)
        ModuleHash = Get-SnapMirrorHash -Path (Split-Path -Path $PSScriptRoot -Parent)
    }

    $root = Get-SnapMirrorHome
    if (-not $WhatIfPreference -or -not (Test-Path -LiteralPath $root)) {
        New-SnapMirrorFolder -Path $root
    }
    $step = @(Invoke-SnapMirrorStep -Step (Get-SnapMirrorStep) -Setting $setting -Wish $wish -Argument $argument)
    if ($WhatIfPreference) {
        return
    }
    if ($PassThru) {
        return Get-SnapMirrorInstallation
    }
    $checked = Invoke-SnapMirrorCommand -Word 'doctor', '--json'

    $result = New-Object -TypeName psobject -Property @{
        VMName    = $setting.VMName
        SharePath = $setting.SharePath
        TaskName  = $setting.TaskName
        ServerKey = 'restrict,command="/usr/bin/rrsync -ro /" ' + (Read-SnapMirrorText -Path (Join-Path $root 'id_server.pub')).Trim()
        Keep      = @('image.key', 'image.luks-header' | ForEach-Object -Process { Join-Path $root $_ })
        Steps     = $step
        Checks    = @($checked.Output | ForEach-Object -Process { $_.Checks })
    }
    $result.PSObject.TypeNames.Insert(0, 'SnapMirror.Installation')
    $result
}
