function ConvertTo-SnapMirrorDate {
    # A moment of snapmirror's JSON as local time. PowerShell 7 has made a date of it already, 5.1 has not.
    [CmdletBinding()]
    [OutputType([datetime])]
    param(
        [Parameter(Mandatory)] [object] $Value
    )

    if ($Value -is [datetime]) {
        return $Value.ToLocalTime()
    }
    [datetimeoffset]::Parse($Value, [System.Globalization.CultureInfo]::InvariantCulture).LocalDateTime
}
