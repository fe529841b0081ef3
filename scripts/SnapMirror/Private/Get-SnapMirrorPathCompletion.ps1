function Get-SnapMirrorPathCompletion {
    # What Tab offers for the beginning of a path in a snapshot: the names in its folder that begin so, folders with a
    # slash at their end, in quotes where PowerShell would take them apart.
    [CmdletBinding()]
    [OutputType([System.Management.Automation.CompletionResult])]
    param(
        [AllowEmptyString()] [AllowNull()] [string] $Word,
        [string] $Id,
        [string] $Mirror
    )

    # The word as it is typed: with the quote that it begins with, and what is doubled in such quotes.
    $typed = $Word
    $quote = [regex]::Match($typed, "^(['\u2018-\u201b]|[`"\u201c-\u201e])").Value
    if ($quote) {
        $kind = if ($quote -match "['\u2018-\u201b]") { "['\u2018-\u201b]" } else { "[`"\u201c-\u201e]" }
        $typed = ($typed.Substring(1) -replace "(?<!$kind)$kind`$", '') -replace "($kind)$kind", '$1'
    }
    $cut = $typed.LastIndexOf('/') + 1
    $above = '/' + $typed.Substring(0, $cut).Trim('/')
    $asked = @('ls', '--json')
    if ($Mirror) {
        $asked += '--mirror', $Mirror
    }
    # (a name with a line in it, or with bytes that are no text, cannot be asked for)
    $never = '[\x00-\x1f\ufffd]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]'
    $answer = Invoke-SnapMirrorCommand -Quiet -Word ($asked + '--' + $(if ($Id) { $Id } else { 'newest' }) + $above)
    foreach ($entry in $answer.Output) {
        $name = ($entry.Path -split '/')[-1]
        if ($name -match $never -or -not $name.StartsWith($typed.Substring($cut), [System.StringComparison]::Ordinal)) {
            continue
        }
        $whole = $above.TrimEnd('/') + '/' + $name + $(if ($entry.Type -eq 'folder') { '/' })
        $text = if ($whole -match '^[\w/.+=:-]+$') { $whole } else { "'" + ($whole -replace "(['\u2018-\u201b])", '$1$1') + "'" }
        $shown = if ($entry.Type -eq 'folder') { 'ProviderContainer' } else { 'ProviderItem' }
        $tip = "$($entry.Type), $($entry.Bytes) bytes, $($entry.Modified)"
        New-Object -TypeName System.Management.Automation.CompletionResult -ArgumentList $text, $name, $shown, $tip
    }
}
