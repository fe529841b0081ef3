function New-SnapMirrorVM {
    # The VM, and what it lacks of its parts. It is off afterwards if it lacked any.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting,
        [Parameter(Mandatory)] [string] $VhdxPath,
        [Parameter(Mandatory)] [string] $SwitchName
    )

    $name = $Setting.VMName
    if (-not $PSCmdlet.ShouldProcess($name, "make the VM from $VhdxPath")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $vm = Get-VM | Where-Object -Property Name -EQ -Value $name
    if (-not $vm) {
        $folder = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'VM'
        $disk = Join-Path -Path $folder -ChildPath "$name.vhdx"
        $null = New-Item -ItemType Directory -Path $folder -Force
        # Under another name until it is whole.
        Copy-Item -LiteralPath $VhdxPath -Destination "$disk.part"
        Move-Item -LiteralPath "$disk.part" -Destination $disk -Force
        $null = New-VM -Name $name -Path $folder -Generation 2 -MemoryStartupBytes 1gb -VHDPath $disk -SwitchName $SwitchName
    } elseif ($vm.State -ne 'Off') {
        $null = Stop-VM -Name $name -Force -WarningAction SilentlyContinue
    }
    # What boots is not signed by Microsoft. Snapshots of the VM would roll it back, and know nothing of the image.
    $null = Set-VMFirmware -VMName $name -EnableSecureBoot Off
    $null = Set-VMMemory -VMName $name -DynamicMemoryEnabled $false
    $null = Set-VM -Name $name -ProcessorCount 2 -AutomaticStartAction Start -AutomaticStopAction ShutDown -CheckpointType Disabled
    $adapter = @(Get-VMNetworkAdapter -VMName $name)
    if (-not ($adapter | Where-Object -Property Name -EQ -Value 'Windows')) {
        $null = Add-VMNetworkAdapter -VMName $name -Name 'Windows' -SwitchName $Setting.WireName -StaticMacAddress $Setting.MacAddress
    }
    foreach ($one in $adapter | Where-Object { $_.Name -ne 'Windows' -and $_.SwitchName -ne $SwitchName }) {
        $null = Connect-VMNetworkAdapter -VMName $name -Name $one.Name -SwitchName $SwitchName
    }
}
