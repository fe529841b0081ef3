function Start-SnapMirrorVM {
    # The VM runs and answers; a VM that is kept elsewhere than in Hyper-V is taken to run.
    [CmdletBinding(SupportsShouldProcess)]
    param()

    $setting = Get-SnapMirrorSetting
    if (-not (Get-Command -Name 'Get-VM' -ErrorAction Ignore)) {
        return
    }
    $vm = Get-VM -Name $setting.VMName -ErrorAction Ignore
    if ($vm -and $vm.State -ne 'Running' -and $PSCmdlet.ShouldProcess($vm.Name, 'start the VM')) {
        Start-VM -VM $vm -Confirm:$false -ErrorAction Stop
        Wait-SnapMirrorVM
    }
}
