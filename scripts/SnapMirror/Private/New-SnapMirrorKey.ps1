function New-SnapMirrorKey {
    # Keys that are not there yet: of the image, of this host for the VM, of the VM for the servers, and who the VM is.
    # Those that are given, by SeedPath or by a seed of before, are taken over.
    [CmdletBinding(SupportsShouldProcess)]
    param(
        [Parameter(Mandatory)] [string] $Address,
        [Parameter(Mandatory)] [string] $SharePath,
        [string] $SeedPath
    )

    $root = Get-SnapMirrorHome
    if (-not $PSCmdlet.ShouldProcess($root, 'make the keys that are missing')) {
        return
    }
    $ConfirmPreference = 'None' # asked once is enough
    $image = Join-Path -Path $root -ChildPath 'image.key'
    $server = Join-Path -Path $root -ChildPath 'id_server'
    foreach ($folder in (Join-Path -Path $root -ChildPath 'seed'), $SeedPath | Where-Object { $_ }) {
        $given = Join-Path -Path $folder -ChildPath 'image.key'
        if (Test-Path -LiteralPath $given) {
            if ((Test-Path -LiteralPath $image) -and (Get-FileHash -LiteralPath $image).Hash -ne (Get-FileHash -LiteralPath $given).Hash) {
                throw "$image is another key than $given. An image may depend on it: move it away by hand if not."
            }
            Copy-Item -LiteralPath $given -Destination $image
        }
        $given = Join-Path -Path $folder -ChildPath 'id_ed25519'
        if (Test-Path -LiteralPath $given) {
            Copy-Item -LiteralPath $given -Destination $server
            Remove-Item -LiteralPath "$server.pub" -ErrorAction SilentlyContinue
        }
    }
    if (-not (Test-Path -LiteralPath $image)) {
        if (Test-Path -LiteralPath (Join-Path $SharePath 'snapmirror.img')) {
            Write-Warning -Message "$image is not here, so a VM that is new does not get it. Put it into the folder of -SeedPath for that."
        } else {
            Write-SnapMirrorText -Path $image -Text (New-SnapMirrorSecret)
        }
    }
    $keygen = Get-SnapMirrorProgram -Name 'ssh-keygen'
    foreach ($name in 'id_ed25519', 'id_server', 'ssh_host_ed25519_key') {
        $path = Join-Path -Path $root -ChildPath $name
        if (-not (Test-Path -LiteralPath $path)) {
            $made = Invoke-SnapMirrorProgram -Program $keygen -Argument '-q', '-t', 'ed25519', '-C', "snapmirror-$name", '-N', '', '-f', $path
            if ($made.ExitCode -ne 0) {
                throw "ssh-keygen ended with $($made.ExitCode): $($made.Said -join ' ')"
            }
        } elseif (-not (Test-Path -LiteralPath "$path.pub")) {
            $shown = Invoke-SnapMirrorProgram -Program $keygen -Argument '-y', '-P', '', '-f', $path
            if ($shown.ExitCode -ne 0) {
                throw "$path is not a private key without a passphrase"
            }
            Write-SnapMirrorText -Path "$path.pub" -Text "$($shown.Output[0])`n"
        }
        # ssh refuses a key that anybody else may read, be it only whoever made it: the task runs as the system.
        $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $path, '/reset'
        $null = Invoke-SnapMirrorNative -Program 'icacls.exe' -Argument $path, '/setowner', '*S-1-5-32-544'
    }
    $public = (Read-SnapMirrorText -Path (Join-Path $root 'ssh_host_ed25519_key.pub')).Trim()
    Write-SnapMirrorText -Path (Join-Path $root 'known_hosts') -Text "$Address $public`n"
}
