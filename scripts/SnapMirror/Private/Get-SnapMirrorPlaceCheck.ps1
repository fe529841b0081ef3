function Get-SnapMirrorPlaceCheck {
    # What an installation with certain arguments needs; as in Get-SnapMirrorHostCheck. Look is handed the arguments, and the
    # names of the steps that Install-SnapMirror has made. If: the argument without which there is nothing to look at.
    [CmdletBinding()]
    [OutputType([hashtable[]])]
    param()

    @{
        Name = 'Own folder'; Must = $true
        Look = {
            $root = Get-SnapMirrorHome
            if ((Test-Path -LiteralPath $root) -and -not (Test-SnapMirrorOwner -Path $root)) {
                @{ Bad = "$root is there already, and not the administrators' own."; Remedy = 'Look at what is in it, and move it away.' }
            }
        }
    }
    @{
        Name = 'Disk of the VM'; Must = $true; If = 'VhdxPath'
        Look = {
            param($argument, $made)
            if (-not (Test-Path -LiteralPath $argument['VhdxPath'] -PathType Leaf)) {
                @{ Bad = "$($argument['VhdxPath']) is missing."; Remedy = 'vm/build makes it, on Linux.' }
            } elseif ($made -notcontains 'vm') {
                $needed = (Get-Item -LiteralPath $argument['VhdxPath']).Length + 1gb
                $free = (Get-SnapMirrorVolume -Path (Get-SnapMirrorHome)).SizeRemaining
                if ($free -lt $needed) {
                    @{ Bad = "The volume of $(Get-SnapMirrorHome) has $(Format-SnapMirrorSize $free) free; the VM's disk takes $(Format-SnapMirrorSize $needed)."; Remedy = 'Make room there.' }
                }
            }
        }
    }
    @{
        Name = 'Memory'; If = 'VhdxPath'
        Look = {
            param($argument, $made)
            $free = 1kb * (Get-CimInstance -ClassName 'Win32_OperatingSystem').FreePhysicalMemory
            if ($made -notcontains 'vm' -and $free -lt 1gb) {
                @{ Warning = "$(Format-SnapMirrorSize $free) of memory are free now; the VM takes 1 GiB."; Remedy = 'End what is not needed; Start-VM fails where memory is missing.' }
            }
        }
    }
    @{
        Name = 'Switch'; Must = $true; If = 'SwitchName'
        Look = {
            param($argument)
            $switch = @(Get-VMSwitch | Select-Object -ExpandProperty Name)
            if ($switch -notcontains $argument['SwitchName']) {
                @{ Bad = "There is no switch $($argument['SwitchName']); there are: $($switch -join ', ')."; Remedy = 'Name one of these, or make one: New-VMSwitch.' }
            }
        }
    }
    @{
        Name = 'Share path'; Must = $true; If = 'SharePath'
        Look = { param($argument) Get-SnapMirrorPathFinding -Path $argument['SharePath'] }
    }
    @{
        Name = 'Space'; If = 'SharePath'
        Look = {
            param($argument)
            $size = [long]$argument['ImageSize'].TrimEnd('M', 'G', 'T') * @{ M = 1mb; G = 1gb; T = 1tb }[$argument['ImageSize'].Substring($argument['ImageSize'].Length - 1)]
            $free = (Get-SnapMirrorVolume -Path $argument['SharePath']).SizeRemaining
            $image = Join-Path -Path $argument['SharePath'] -ChildPath 'snapmirror.img'
            if (Test-Path -LiteralPath $image) {
                if ($free -lt 1gb) { @{ Warning = "$(Format-SnapMirrorSize $free) are free where the image is."; Remedy = 'Make room: a night that meets a full volume stops.' } }
            } elseif ($free -lt 1gb) {
                @{ Bad = "$(Format-SnapMirrorSize $free) are free for the image."; Remedy = 'Make room, or take another volume: -SharePath.' }
            } elseif ($free -lt $size) {
                @{ Warning = "$(Format-SnapMirrorSize $free) are free; the image may grow to $(Format-SnapMirrorSize $size)."; Remedy = 'Take a smaller -ImageSize, or another volume. The image takes only what is used.' }
            } else {
                @{ Good = "$(Format-SnapMirrorSize $free) are free; the image may grow to $(Format-SnapMirrorSize $size)." }
            }
        }
    }
    @{
        Name = 'Network'; Must = $true
        Look = {
            param($argument)
            $network = $argument['Network']
            $part = @($network.Split('.') | ForEach-Object -Process { [int]$_ })
            if (@($part | Where-Object { $_ -gt 255 }).Count -or $part[0] -lt 1 -or $part[0] -gt 223 -or $part[0] -eq 127) {
                @{ Bad = "-Network $network is none."; Remedy = 'Three numbers up to 255, such as 10.253.71.' }
                return
            }
            $wire = (Get-SnapMirrorHostSetting -Argument $argument).WireName
            $taken = @(Get-NetIPAddress | Where-Object { $_.IPAddress -like "$network.*" -and $_.InterfaceAlias -ne "vEthernet ($wire)" })
            if ($taken) { @{ Bad = "-Network $network is in use by $($taken[0].InterfaceAlias) ($($taken[0].IPAddress))."; Remedy = 'Take another.' } }
        }
    }
    foreach ($name in Get-SnapMirrorName) {
        @{ Name = $name.Check; Must = $true; Taken = $name; Look = { param($argument, $made, $taken) Get-SnapMirrorNameFinding -Argument $argument -Made $made -Kind $taken } }
    }
}
