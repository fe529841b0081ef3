function Install-SnapMirror {
    <#
    .SYNOPSIS
        Sets everything up on this Windows host: share, account, VM, image and the nightly task.
    .DESCRIPTION
        In this order, and each only if it is not there yet, so that it may be called again:

        1. Checks: administrator, Hyper-V, OpenSSH client, NTFS or ReFS.
        2. A local account with a password that nobody knows. It is in no group and may log on by the network only.
        3. The folder for the image, open to that account, administrators and the system; shared for that account alone,
           encrypted.
        4. Keys: that of the image, that of this host for the VM, that of the VM for the servers.
        5. A wire between Windows and the VM: an internal switch with fixed addresses, and a firewall rule for it.
        6. The VM from the VHDX, started with Windows and shut down with it. A small disk brings it its configuration,
           and is wiped and deleted when the VM has taken it.
        7. The image, made sparse by 'snapmirror init' in the VM.
        8. The scheduled task: as the system, with nobody logged on, wakes the host, is not ended after three days. It
           uses a copy of this module: call Install-SnapMirror again when there is a new version.

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
        The first three numbers of the addresses on the wire between Windows (.1) and the VM (.2). Take others if these
        are in use.
    .EXAMPLE
        Install-SnapMirror -VhdxPath D:\snapmirror.vhdx -SharePath D:\Snapmirror -SwitchName External -Source root@web1.example:/ -WhatIf

        Says what would be done.
    .EXAMPLE
        Install-SnapMirror -VhdxPath D:\snapmirror.vhdx -SharePath D:\Snapmirror -SwitchName External -SeedPath D:\seed -At 22:30

        With a snapmirror.toml of one's own in D:\seed; the night begins at half past ten.
    .OUTPUTS
        SnapMirror.Installation
    .LINK
        Uninstall-SnapMirror
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'Medium')]
    [OutputType('SnapMirror.Installation')]
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
        [ValidatePattern('^[A-Za-z0-9-]+$')] [string] $ShareName = 'snapmirror',
        [ValidatePattern('^([0-9]{1,3}\.){2}[0-9]{1,3}$')] [string] $Network = '10.253.71'
    )

    $ErrorActionPreference = 'Stop'
    Assert-SnapMirrorHost -VhdxPath $VhdxPath -SharePath $SharePath -SwitchName $SwitchName
    if (-not $Source -and -not ($SeedPath -and (Test-Path -LiteralPath (Join-Path $SeedPath 'snapmirror.toml')))) {
        throw 'Say what to mirror: -Source root@web1.example:/, or a snapmirror.toml in -SeedPath.'
    }
    if ($AdminKeyPath) {
        $null = Get-SnapMirrorPublicKey -Path $AdminKeyPath
    }
    $root = Get-SnapMirrorHome
    $setting = @{
        VMName      = $VMName
        User        = 'root'
        Address     = "$Network.2"
        HostAddress = "$Network.1"
        MacAddress  = '00155D' + (($Network.Split('.') | ForEach-Object -Process { '{0:X2}' -f [int]$_ }) -join '')
        SharePath   = $SharePath
        ShareName   = $ShareName
        Account     = $Account
        TaskName    = 'SnapMirror'
        WireName    = 'SnapMirror'
    }
    $template = @{
        HostAddress = $setting.HostAddress
        Address     = $setting.Address
        MacAddress  = ($setting.MacAddress -replace '(..)(?!$)', '$1:').ToLowerInvariant()
        ShareName   = $ShareName
        ImageSize   = $ImageSize
        MirrorName  = $MirrorName
        Source      = $Source
    }

    New-SnapMirrorFolder -Path $root
    New-SnapMirrorAccount -Name $Account -CredentialPath (Join-Path $root 'smb.cred')
    New-SnapMirrorFolder -Path $SharePath -Account $Account
    New-SnapMirrorShare -Name $ShareName -Path $SharePath -Account $Account
    New-SnapMirrorKey -Address $setting.Address -SharePath $SharePath -SeedPath $SeedPath
    New-SnapMirrorSeed -SeedPath $SeedPath -AdminKeyPath $AdminKeyPath -Template $template
    New-SnapMirrorWire -Setting $setting
    Set-SnapMirrorSetting -Setting $setting
    try {
        New-SnapMirrorVM -Setting $setting -VhdxPath $VhdxPath -SwitchName $SwitchName
        if (-not $WhatIfPreference) {
            Wait-SnapMirrorVM
        }
    } finally {
        Remove-SnapMirrorSeedDisk -VMName $VMName # whatever has happened: the next call makes it anew
    }
    if ($WhatIfPreference) {
        Register-SnapMirrorTask -TaskName $setting.TaskName -At $At -CopyPath $CopyPath
        return
    }
    Initialize-SnapMirrorImage -SharePath $SharePath
    Register-SnapMirrorTask -TaskName $setting.TaskName -At $At -CopyPath $CopyPath
    $checked = Invoke-SnapMirrorCommand -Word 'doctor', '--json'

    $result = New-Object -TypeName psobject -Property @{
        VMName    = $VMName
        SharePath = $SharePath
        TaskName  = $setting.TaskName
        ServerKey = 'restrict,command="/usr/bin/rrsync -ro /" ' + (Get-Content -LiteralPath (Join-Path $root 'id_server.pub'))
        Keep      = @('image.key', 'image.luks-header' | ForEach-Object -Process { Join-Path $root $_ })
        Checks    = @($checked.Output | ForEach-Object -Process { $_.Checks })
    }
    $result.PSObject.TypeNames.Insert(0, 'SnapMirror.Installation')
    $result
}
