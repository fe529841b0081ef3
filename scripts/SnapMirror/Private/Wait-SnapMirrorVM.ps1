function Wait-SnapMirrorVM {
    # Until the VM lets us in by ssh.
    [CmdletBinding()]
    param(
        [int] $Seconds = 300
    )

    $deadline = (Get-Date).AddSeconds($Seconds)
    do {
        $answer = Invoke-SnapMirrorCommand -Word 'status', '--json' -Quiet
        if ($answer.ExitCode -ne 255) {
            return
        }
        Start-Sleep -Seconds 5
    } while ((Get-Date) -lt $deadline)
    throw "the VM has not answered by ssh for $Seconds seconds; look at its console (vmconnect)"
}
