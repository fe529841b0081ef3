function Read-SnapMirrorProgress {
    # How far snapmirror has come, by a line of its log; nothing if the line tells of something else.
    #
    # Without a terminal it tells the end of each step, and within long ones once a minute, such as
    # 2026-11-21 03:14:14 web1: transfer: 12,000 of 50,000 names, 1.2 GiB of 8.0 GiB, 11.5 MiB/s, 10 min left
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [Parameter(Mandatory)] [AllowEmptyString()] [string] $Line
    )

    if ($Line -notmatch '^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?<text>.+)$' -or $Matches['text'] -match '^(warning|error|critical): ') {
        return
    }
    $told = @{ Text = $Line.Substring(20); Percent = -1; Figures = $false }
    if ($told.Text -notmatch ': .*( names|/s)(, [^,]+ left)?$') {
        return $told
    }
    $invariant = [System.Globalization.CultureInfo]::InvariantCulture
    $power = @{ '' = 0; ' B' = 0; ' KiB' = 1; ' MiB' = 2; ' GiB' = 3; ' TiB' = 4 }
    $figure = '(\d[\d,]*(?:\.\d+)?)((?: [KMGT]i?B| B)?)'
    $told.Figures = $true
    foreach ($match in [regex]::Matches($told.Text, "$figure of $figure")) { # bytes stand last, and tell more than names
        $done, $all = foreach ($place in 1, 3) {
            [double]::Parse($match.Groups[$place].Value, $invariant) * [math]::Pow(1024, $power[$match.Groups[$place + 1].Value])
        }
        $told.Percent = [int][math]::Floor([math]::Min(100, 100 * $done / [math]::Max(1.0, $all)))
    }
    $told
}
