function ConvertTo-SnapMirrorDate {
    # A moment of snapmirror's JSON as local time.
    [CmdletBinding()]
    [OutputType([datetime])]
    param(
        [Parameter(Mandatory)] [string] $Value
    )

    [datetimeoffset]::Parse($Value, [System.Globalization.CultureInfo]::InvariantCulture).LocalDateTime
}
