function New-SnapMirrorAdsiUser {
    # A local account by ADSI, where New-LocalUser cannot be loaded. The password is on no command line.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSAvoidUsingPlainTextForPassword', '', Justification = 'ADSI takes text, and the file for the VM holds it.')]
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $Secret,
        [Parameter(Mandatory)] [string] $Description
    )

    if (-not $PSCmdlet.ShouldProcess($Name, 'make the local account')) {
        return
    }
    $computer = New-Object -TypeName System.DirectoryServices.DirectoryEntry -ArgumentList "WinNT://$env:COMPUTERNAME,computer"
    $user = $computer.Create('User', $Name)
    $user.SetPassword($Secret)
    $user.SetInfo()
    $user.Description = $Description
    $user.UserFlags = 0x10240 # a normal account; its password never expires; it cannot change it
    $user.SetInfo()
}
