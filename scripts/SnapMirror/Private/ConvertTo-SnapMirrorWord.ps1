function ConvertTo-SnapMirrorWord {
    # The words of a command as one word: JSON in base64. 5.1 loses quotes and letters beyond ASCII in arguments.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [AllowEmptyString()] [string[]] $Word
    )

    $json = ConvertTo-Json -InputObject @($Word) -Compress
    [System.Convert]::ToBase64String([System.Text.Encoding]::UTF8.GetBytes($json))
}
