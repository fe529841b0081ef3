function Test-SnapMirrorHost {
    <#
    .SYNOPSIS
        Checks everything that Install-SnapMirror needs, before it makes anything.
    .DESCRIPTION
        Checks the edition, Hyper-V and virtualisation, rights, programs, policies that keep local accounts or scripts
        out, and sleep. If you name them, also the disk of the VM, the switch, the share path and its space, and addresses
        and names that are already taken. It changes nothing. Install-SnapMirror makes the same checks, and goes on
        unless one of them is bad.

        Each object has a Name, a Verdict (Good, Warning, Bad), a Message and a Remedy. Names of an existing
        installation do not count as taken.
    .PARAMETER VhdxPath
        The disk of the VM, as for Install-SnapMirror. Without it, the disk is not checked.
    .PARAMETER SharePath
        The folder for the image.
    .PARAMETER SwitchName
        The switch by which the VM reaches the servers.
    .PARAMETER ImageSize
        The size of the image.
    .PARAMETER VMName
        The name of the VM.
    .PARAMETER Account
        The name of the local account.
    .PARAMETER ShareName
        The name of the share.
    .PARAMETER Network
        The first three numbers of the addresses on the wire between Windows and the VM.
    .EXAMPLE
        Test-SnapMirrorHost

        Looks at the host itself, and at the usual names.
    .EXAMPLE
        Test-SnapMirrorHost -VhdxPath D:\snapmirror.vhdx -SharePath D:\Snapmirror -SwitchName External | Where-Object Verdict -ne Good

        What is in the way of that installation, with what helps.
    .OUTPUTS
        SnapMirror.HostCheck
    .LINK
        Install-SnapMirror
    #>
    [CmdletBinding()]
    [OutputType('SnapMirror.HostCheck')]
    param(
        [string] $VhdxPath,
        [string] $SharePath,
        [string] $SwitchName,
        [ValidatePattern('^[0-9]+[MGT]$')] [string] $ImageSize = '150G',
        [ValidatePattern('^[A-Za-z0-9-]+$')] [string] $VMName = 'snapmirror',
        [ValidatePattern('^[A-Za-z0-9-]{1,20}$')] [string] $Account = 'snapmirror',
        [ValidatePattern('^[A-Za-z0-9-]{1,74}$')] [string] $ShareName = 'snapmirror',
        [ValidatePattern('^([0-9]{1,3}\.){2}[0-9]{1,3}$')] [string] $Network = '10.253.71'
    )

    $ErrorActionPreference = 'Stop'
    $argument = @{
        SharePath = $SharePath; SwitchName = $SwitchName; ImageSize = $ImageSize; VMName = $VMName; Account = $Account
        ShareName = $ShareName; Network = $Network; VhdxPath = $VhdxPath
    }
    Invoke-SnapMirrorHostCheck -Argument (Resolve-SnapMirrorArgument -Argument $argument -Given @($PSBoundParameters.Keys) -Cmdlet $PSCmdlet)
}
