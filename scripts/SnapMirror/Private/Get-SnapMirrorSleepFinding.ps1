function Get-SnapMirrorSleepFinding {
    # Whether a host that sleeps by itself is woken for the night; as Look of Get-SnapMirrorHostCheck gives it.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param()

    $seconds = @{}
    foreach ($name in 'STANDBYIDLE', 'HIBERNATEIDLE', 'RTCWAKE') {
        # It speaks the language of Windows; its last two hexadecimal numbers are the values on mains and on battery.
        $printed = (Invoke-SnapMirrorNative -Program 'powercfg.exe' -Argument '/qh', 'SCHEME_CURRENT', 'SUB_SLEEP', $name) -join ' '
        $number = [regex]::Matches($printed, '0x[0-9a-fA-F]{8}')
        if ($number.Count -lt 2) {
            throw "powercfg does not know $name"
        }
        $seconds[$name] = [System.Convert]::ToInt64($number[$number.Count - 2].Value, 16)
    }
    if (-not $seconds['STANDBYIDLE'] -and -not $seconds['HIBERNATEIDLE']) {
        @{ Good = 'The host does not sleep by itself.' }
    } elseif ($seconds['RTCWAKE'] -eq 1) {
        @{ Good = 'The host sleeps by itself; the task wakes it.' }
    } else {
        @{
            Warning = 'The host sleeps by itself, and tasks may not wake it: a night is made up for when somebody wakes it.'
            Remedy  = 'powercfg /setacvalueindex SCHEME_CURRENT SUB_SLEEP RTCWAKE 1; powercfg /setactive SCHEME_CURRENT'
        }
    }
}
