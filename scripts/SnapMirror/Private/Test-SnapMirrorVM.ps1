function Test-SnapMirrorVM {
    # Whether the VM is there as New-SnapMirrorVM makes it: its disk, both its network cards, no Secure Boot, memory of its own.
    [CmdletBinding()]
    [OutputType([bool])]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting,
        [Parameter(Mandatory)] [string] $SwitchName
    )

    $name = $Setting.VMName
    $vm = Get-VM | Where-Object -Property Name -EQ -Value $name
    if (-not $vm) {
        return $false
    }
    $adapter = @(Get-VMNetworkAdapter -VMName $name)
    [bool](
        @(Get-VMHardDiskDrive -VMName $name | ForEach-Object -Process { $_.Path }) -contains (Get-SnapMirrorDiskPath -VMName $name) -and
        ($adapter | Where-Object { $_.Name -eq 'Windows' -and $_.SwitchName -eq $Setting.WireName -and $_.MacAddress -eq $Setting.MacAddress }) -and
        ($adapter | Where-Object { $_.Name -ne 'Windows' -and $_.SwitchName -eq $SwitchName }) -and
        "$((Get-VMFirmware -VMName $name).SecureBoot)" -eq 'Off' -and
        -not (Get-VMMemory -VMName $name).DynamicMemoryEnabled -and
        "$($vm.AutomaticStartAction) $($vm.AutomaticStopAction) $($vm.CheckpointType)" -eq 'Start ShutDown Disabled'
    )
}
