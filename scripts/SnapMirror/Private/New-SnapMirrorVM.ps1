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
    $disk = Get-SnapMirrorDiskPath -VMName $name
    if ($vm -and $vm.State -ne 'Off') {
        $null = Stop-VM -Name $name -Force -WarningAction SilentlyContinue
    }
    if (-not $vm -or -not (Test-Path -LiteralPath $disk)) {
        $folder = Split-Path -Path $disk -Parent
        $null = New-Item -ItemType Directory -Path $folder -Force
        # Under another name until it is whole.
        Copy-Item -LiteralPath $VhdxPath -Destination "$disk.part"
        Move-Item -LiteralPath "$disk.part" -Destination $disk -Force
    }
    if (-not $vm) {
        $null = New-VM -Name $name -Path $folder -Generation 2 -MemoryStartupBytes 1gb -VHDPath $disk -SwitchName $SwitchName
    } elseif (@(Get-VMHardDiskDrive -VMName $name | ForEach-Object -Process { $_.Path }) -notcontains $disk) {
        $null = Add-VMHardDiskDrive -VMName $name -Path $disk
    }
    # What boots is not signed by Microsoft. Snapshots of the VM would roll it back, and know nothing of the image.
    $null = Set-VMFirmware -VMName $name -EnableSecureBoot Off
    $null = Set-VMMemory -VMName $name -DynamicMemoryEnabled $false
    $null = Set-VM -Name $name -ProcessorCount 2 -AutomaticStartAction Start -AutomaticStopAction ShutDown -CheckpointType Disabled
    $adapter = @(Get-VMNetworkAdapter -VMName $name)
    $wanted = @{ $true = $Setting.WireName; $false = $SwitchName }
    foreach ($one in $adapter | Where-Object { $_.SwitchName -ne $wanted[$_.Name -eq 'Windows'] }) {
        $null = Connect-VMNetworkAdapter -VMName $name -Name $one.Name -SwitchName $wanted[$one.Name -eq 'Windows']
    }
    if (-not ($adapter | Where-Object -Property Name -NE -Value 'Windows')) {
        $null = Add-VMNetworkAdapter -VMName $name -Name 'Network Adapter' -SwitchName $SwitchName
    }
    $wire = $adapter | Where-Object -Property Name -EQ -Value 'Windows'
    if (-not $wire) {
        $null = Add-VMNetworkAdapter -VMName $name -Name 'Windows' -SwitchName $Setting.WireName -StaticMacAddress $Setting.MacAddress
    } elseif ($wire.MacAddress -ne $Setting.MacAddress) {
        $null = Set-VMNetworkAdapter -VMName $name -Name 'Windows' -StaticMacAddress $Setting.MacAddress
    }
}
