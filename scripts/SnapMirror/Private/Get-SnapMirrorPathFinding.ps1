function Get-SnapMirrorPathFinding {
    # Whether a folder can hold the image and be shared; as Look of Get-SnapMirrorHostCheck gives it.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    if ($Path -match '^[\\/]{2}') {
        return @{ Bad = "$Path is on another machine."; Remedy = 'The image lies on a disk of this one: -SharePath D:\Snapmirror' }
    }
    $drive = [System.IO.Path]::GetPathRoot($Path)
    if ($Path -eq $drive) {
        return @{ Bad = "$Path is a whole drive, whose rights would change."; Remedy = "Name a folder on it: -SharePath $(Join-Path $drive 'Snapmirror')" }
    }
    if (-not (Test-SnapMirrorShareable -Path $Path)) {
        return @{ Bad = "$Path cannot be shared: Windows takes no * ? [ ] in the path of a share."; Remedy = 'Name another folder.' }
    }
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        return @{ Bad = "$Path is a file."; Remedy = 'Name a folder, which may be missing yet.' }
    }
    $volume = Get-SnapMirrorVolume -Path $Path
    if ('NTFS', 'ReFS' -notcontains $volume.FileSystemType) {
        return @{ Bad = "$Path lies on $($volume.FileSystemType), which has no sparse files."; Remedy = 'NTFS and ReFS have them.' }
    }
    if ("$($volume.DriveType)" -eq 'Removable') {
        @{ Warning = "$Path lies on a disk that can be taken out."; Remedy = 'The night needs it: leave it in, or take another.' }
    }
}
