function New-SnapMirrorSecret {
    # 48 random bytes as letters, digits, - and _.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSUseShouldProcessForStateChangingFunctions', '', Justification = 'It makes a text, and changes nothing.')]
    [CmdletBinding()]
    [OutputType([string])]
    param()

    $bytes = New-Object -TypeName byte[] -ArgumentList 48
    $source = [System.Security.Cryptography.RandomNumberGenerator]::Create()
    try {
        $source.GetBytes($bytes)
    } finally {
        $source.Dispose()
    }
    # The tail makes sure of all four kinds of letters, where a policy of passwords asks for them.
    ([System.Convert]::ToBase64String($bytes) -replace '\+', '-' -replace '/', '_') + '-Aa1'
}
