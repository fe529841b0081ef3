function New-SnapMirrorAccount {
    # A local account of its own for the share, in no group, with a password that only a file for the VM holds.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $CredentialPath
    )

    $user = Get-LocalUser -Name $Name -ErrorAction SilentlyContinue
    if (($user -and (Test-Path -LiteralPath $CredentialPath)) -or
        -not $PSCmdlet.ShouldProcess($Name, 'make the local account, with a new password')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $secret = New-SnapMirrorSecret
    $password = New-Object -TypeName System.Security.SecureString
    $secret.ToCharArray() | ForEach-Object -Process { $password.AppendChar($_) }
    $account = @{
        Name                     = $Name
        Password                 = $password
        PasswordNeverExpires     = $true
        Description              = 'snapmirror: its VM reaches the share of the image with it'
        UserMayNotChangePassword = $true
    }
    if ($user) {
        Set-LocalUser -Name $Name -Password $password
    } else {
        $null = New-LocalUser @account -AccountNeverExpires
    }
    Write-SnapMirrorText -Path $CredentialPath -Text "username=$Name`ndomain=$env:COMPUTERNAME`npassword=$secret`n"
    Deny-SnapMirrorLogon -Name $Name
}
