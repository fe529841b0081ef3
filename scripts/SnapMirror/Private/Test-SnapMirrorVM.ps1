function Test-SnapMirrorVM {
    # Whether the VM is there, with both its network cards, without Secure Boot and with memory of its own.
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
        ($adapter | Where-Object { $_.Name -eq 'Windows' -and $_.SwitchName -eq $Setting.WireName }) -and
        ($adapter | Where-Object { $_.Name -ne 'Windows' -and $_.SwitchName -eq $SwitchName }) -and
        "$((Get-VMFirmware -VMName $name).SecureBoot)" -eq 'Off' -and
        -not (Get-VMMemory -VMName $name).DynamicMemoryEnabled -and
        "$($vm.AutomaticStopAction)" -eq 'ShutDown' -and "$($vm.CheckpointType)" -eq 'Disabled'
    )
}
