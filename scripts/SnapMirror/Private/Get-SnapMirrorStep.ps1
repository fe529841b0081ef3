function Get-SnapMirrorStep {
    # The steps of the installation, in order. Each can be run again, whatever an earlier one has left:
    # Given: of what it depends; other values let it run again. Test: is it there? Do: make what is missing. Undo: remove
    # what was made. After: the steps that must be undone before this one.
    # From: the steps whose files it takes; -WhatIf, which changes none of them, tells by these that it would run.
    # Sid: it names the account by its number; those are written down, since the account may be gone before its undo.
    # What a step calls stops with its own error and asks nothing: Invoke-SnapMirrorStep sees to both.
    [CmdletBinding()]
    [OutputType([hashtable[]])]
    param()

    @{
        Name  = 'settings'
        Say   = 'write down the settings for the other commands'
        Given = { '' }
        Test  = { param($setting) Test-SnapMirrorSetting -Wanted $setting }
        Do    = { param($setting) Set-SnapMirrorSetting -Setting $setting }
        Undo  = { Remove-SnapMirrorFile -Path (Join-Path (Get-SnapMirrorHome) 'settings.json') }
    }
    @{
        Name  = 'account'
        Say   = 'make the local account, with a new password'
        Given = { param($setting) "account $($setting.Account)" }
        Test  = { param($setting) Test-SnapMirrorAccount -Name $setting.Account }
        Do    = { param($setting) New-SnapMirrorAccount -Name $setting.Account -CredentialPath (Join-Path (Get-SnapMirrorHome) 'smb.cred') }
        After = 'logon', 'folder', 'share' # undone before this is: they name it by its number
        Undo  = {
            param($setting)
            if (Get-SnapMirrorAccount -Name $setting.Account) { Remove-LocalUser -Name $setting.Account }
            Clear-SnapMirrorFile -Path (Join-Path (Get-SnapMirrorHome) 'smb.cred')
        }
    }
    @{
        Name  = 'logon'
        Say   = 'deny the account every log on but that by the network'
        Given = { param($setting) "account $($setting.Account)" }
        Test  = { param($setting) Test-SnapMirrorLogon -Name $setting.Account }
        Do    = { param($setting) Deny-SnapMirrorLogon -Name $setting.Account }
        Undo  = { param($setting, $sid) Deny-SnapMirrorLogon -Name $setting.Account -Undo -Known $sid }
        Sid   = $true
    }
    @{
        Name  = 'folder'
        Say   = 'make the folder, and let administrators, the system and the account in'
        Given = { param($setting) "$($setting.SharePath) for $($setting.Account)" }
        Test  = { param($setting) Test-SnapMirrorFolder -Path $setting.SharePath -Account $setting.Account }
        Do    = { param($setting) New-SnapMirrorFolder -Path $setting.SharePath -Account $setting.Account }
        Undo  = { param($setting, $sid) Revoke-SnapMirrorFolder -Path $setting.SharePath -Sid (Get-SnapMirrorAccountNumber -Account $setting.Account -Known $sid) }
        Sid   = $true
    }
    @{
        Name  = 'share'
        Say   = 'share the folder for the account, encrypted'
        Given = { param($setting) "$($setting.ShareName) ($($setting.SharePath)) for $($setting.Account)" }
        Test  = { param($setting) Test-SnapMirrorShare -Name $setting.ShareName -Path $setting.SharePath -Account $setting.Account }
        Do    = { param($setting) New-SnapMirrorShare -Name $setting.ShareName -Path $setting.SharePath -Account $setting.Account }
        Undo  = {
            param($setting, $sid)
            $sid = Get-SnapMirrorAccountNumber -Account $setting.Account -Known $sid
            $ours = { $_.Name -eq $setting.ShareName -or ($_.Name -eq "$($setting.ShareName)-copy" -and $_.Description -like 'snapmirror*') }
            foreach ($share in @(Get-SmbShare | Where-Object -FilterScript $ours)) {
                Revoke-SnapMirrorFolder -Path $share.Path -Sid $sid # before the share, which alone tells of this folder
                Remove-SmbShare -Name $share.Name -Force
            }
        }
        Sid   = $true
    }
    @{
        Name  = 'keys'
        Say   = 'make the keys that are missing'
        Given = { param($setting, $wish) "keys of $($setting.Address)", $wish.SeedFiles }
        Test  = { param($setting) Test-SnapMirrorKey -Address $setting.Address }
        Do    = { param($setting, $wish) New-SnapMirrorKey -Address $setting.Address -SharePath $setting.SharePath -SeedPath $wish.SeedPath }
        Undo  = { $null } # they stay: without them nobody reads the image
    }
    @{
        Name  = 'seed'
        Say   = "make the VM's configuration"
        Given = { param($setting, $wish) "what to mirror: $($wish.Template.Source)", $wish.SeedFiles }
        Test  = { Test-SnapMirrorSeed }
        Do    = { param($setting, $wish) New-SnapMirrorSeed -SeedPath $wish.SeedPath -AdminKeyPath $wish.AdminKeyPath -Template $wish.Template -NewSource $wish.NewSource }
        Undo  = { $null } # stays with the keys
    }
    @{
        Name  = 'wire'
        Say   = 'make the internal switch, its address, and let the VM in to SMB'
        Given = { param($setting) "$($setting.WireName) $($setting.HostAddress)" }
        Test  = { param($setting) Test-SnapMirrorWire -Setting $setting }
        Do    = { param($setting) New-SnapMirrorWire -Setting $setting }
        Undo  = {
            param($setting)
            Get-NetFirewallRule | Where-Object Name -eq $setting.WireName | ForEach-Object { Remove-NetFirewallRule -Name $_.Name }
            Get-VMSwitch | Where-Object Name -eq $setting.WireName | ForEach-Object { Remove-VMSwitch -Name $_.Name -Force }
        }
    }
    @{
        Name  = 'vm'
        Say   = 'make the VM'
        Given = { param($setting, $wish) "$($setting.VMName) on the switch $($wish.SwitchName)" }
        Test  = { param($setting, $wish) Test-SnapMirrorVM -Setting $setting -SwitchName $wish.SwitchName }
        Do    = { param($setting, $wish) New-SnapMirrorVM -Setting $setting -VhdxPath $wish.VhdxPath -SwitchName $wish.SwitchName }
        Undo  = { param($setting) Remove-SnapMirrorVM -Name $setting.VMName }
    }
    @{
        Name  = 'configuration'
        Say   = 'start the VM with its configuration, from a disk that is wiped afterwards'
        From  = 'account', 'keys', 'seed', 'vm'
        Given = { param($setting) "VM $($setting.VMName)", (Get-SnapMirrorHash -Path (Get-SnapMirrorSeedFile)) }
        Test  = { param($setting) @(Get-VM | Where-Object { $_.Name -eq $setting.VMName -and $_.State -eq 'Running' }).Count -eq 1 }
        Do    = { param($setting) Start-SnapMirrorSeed -VMName $setting.VMName }
        Undo  = { param($setting) Remove-SnapMirrorSeedDisk -VMName $setting.VMName }
    }
    @{
        Name  = 'image'
        Say   = 'make the image'
        Given = { param($setting) $setting.SharePath }
        Test  = { param($setting) Test-SnapMirrorImage -SharePath $setting.SharePath }
        Do    = { param($setting) Initialize-SnapMirrorImage -SharePath $setting.SharePath }
        Undo  = { $null } # it stays: it is the backup
    }
    @{
        Name  = 'task'
        Say   = 'register the scheduled task'
        Given = { param($setting, $wish) "every night at $($wish.At)", "copy: $($wish.CopyPath)", $wish.ModuleHash }
        Test  = { param($setting, $wish) Test-SnapMirrorTask -TaskName $setting.TaskName -Wish $wish }
        Do    = { param($setting, $wish) Register-SnapMirrorTask -TaskName $setting.TaskName -At $wish.At -CopyPath $wish.CopyPath }
        Undo  = {
            param($setting)
            Get-ScheduledTask | Where-Object TaskName -eq $setting.TaskName | ForEach-Object { Unregister-ScheduledTask -TaskName $_.TaskName -TaskPath $_.TaskPath }
            Remove-SnapMirrorFile -Path (Join-Path (Get-SnapMirrorHome) 'Module')
        }
    }
}
