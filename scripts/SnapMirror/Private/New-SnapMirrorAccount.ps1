function New-SnapMirrorAccount {
    # A local account of its own for the share, in no group, with a password that only a file for the VM holds.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Name,
        [Parameter(Mandatory)] [string] $CredentialPath
    )

    $user = Get-SnapMirrorAccount -Name $Name
    if (-not $PSCmdlet.ShouldProcess($Name, 'make the local account, with a new password')) {
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
        Description              = 'snapmirror: the share of the image' # at most 48 letters
        UserMayNotChangePassword = $true
    }
    if ($user) {
        # (One that was broken off, or changed by somebody, lacks some of this.)
        Set-LocalUser -Name $Name -Password $password -PasswordNeverExpires $true -UserMayChangePassword $false -AccountNeverExpires -Description $account.Description
        if (-not $user.Enabled) {
            Enable-LocalUser -Name $Name
        }
    } else {
        try {
            $null = New-LocalUser @account -AccountNeverExpires
        } catch [System.TypeLoadException] {
            # PowerShell 7.3 and later lack a type that this cmdlet of some builds of Windows needs.
            New-SnapMirrorAdsiUser -Name $Name -Secret $secret -Description $account.Description
        }
    }
    Write-SnapMirrorText -Path $CredentialPath -Text "username=$Name`ndomain=$env:COMPUTERNAME`npassword=$secret`n"
}
