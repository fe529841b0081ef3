# The image, its folder and its volume as Windows sees them. Changes nothing.
# path: where the image is; else share: its name, and file: the name of the image below it.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$facts = @{}
$unknown = @{}

function Get-Fact {
    param([string]$Name, [scriptblock]$Ask)
    try {
        $facts[$Name] = & $Ask
    } catch {
        $unknown[$Name] = $_.ToString()
    }
}

function Test-Compressed {
    param($Item)
    [bool]($Item.Attributes -band [IO.FileAttributes]::Compressed)
}

Get-Fact 'path' {
    if ($p.path) {
        $p.path
    } else {
        $share = Get-CimInstance -ClassName Win32_Share | Where-Object { $_.Name -eq $p.share }
        if (-not $share) {
            throw "no share is called $($p.share)"
        }
        [IO.Path]::Combine($share.Path, $p.file)
    }
}
$path = $facts['path']
if ($path) {
    Get-Fact 'volume' {
        $drive = New-Object -TypeName IO.DriveInfo -ArgumentList ([IO.Path]::GetPathRoot($path))
        @{ free = [int64]$drive.AvailableFreeSpace; size = [int64]$drive.TotalSize; format = $drive.DriveFormat }
    }
    Get-Fact 'folder_compressed' {
        Test-Compressed (Get-Item -LiteralPath ([IO.Path]::GetDirectoryName($path)) -Force)
    }
    Get-Fact 'image' {
        if (Test-Path -LiteralPath $path) {
            $item = Get-Item -LiteralPath $path -Force
            $sparse = [bool]($item.Attributes -band [IO.FileAttributes]::SparseFile)
            @{ size = [int64]$item.Length; sparse = $sparse; compressed = Test-Compressed $item }
        }
    }
}
@{ facts = $facts; unknown = $unknown } | ConvertTo-Json -Compress -Depth 4
