function New-SnapMirrorVM {
    # The VM, started with the newest configuration.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [hashtable] $Setting,
        [Parameter(Mandatory)] [string] $VhdxPath,
        [Parameter(Mandatory)] [string] $SwitchName
    )

    $name = $Setting.VMName
    if (-not $PSCmdlet.ShouldProcess($name, "make the VM from $VhdxPath, and start it")) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $folder = Join-Path -Path (Get-SnapMirrorHome) -ChildPath 'VM'
    if (-not (Get-VM -Name $name -ErrorAction SilentlyContinue)) {
        $disk = Join-Path -Path $folder -ChildPath "$name.vhdx"
        $null = New-Item -ItemType Directory -Path $folder -Force
        Copy-Item -LiteralPath $VhdxPath -Destination $disk
        $null = New-VM -Name $name -Path $folder -Generation 2 -MemoryStartupBytes 1gb -VHDPath $disk -SwitchName $SwitchName
        # What boots is not signed by Microsoft. Snapshots of the VM would roll it back, and know nothing of the image.
        Set-VMFirmware -VMName $name -EnableSecureBoot Off
        Set-VMMemory -VMName $name -DynamicMemoryEnabled $false
        Set-VM -Name $name -ProcessorCount 2 -AutomaticStartAction Start -AutomaticStopAction ShutDown -CheckpointType Disabled
        Add-VMNetworkAdapter -VMName $name -Name 'Windows' -SwitchName $Setting.WireName -StaticMacAddress $Setting.MacAddress
    }
    Stop-VM -Name $name -Force -ErrorAction SilentlyContinue -WarningAction SilentlyContinue
    Remove-SnapMirrorSeedDisk -VMName $name
    $seed = Join-Path -Path $folder -ChildPath 'seed.vhdx'
    New-SnapMirrorSeedDisk -Path $seed
    Add-VMHardDiskDrive -VMName $name -Path $seed
    Start-VM -Name $name
}
