function ConvertTo-SnapMirrorObject {
    # An object of snapmirror's JSON, with the properties that the contract names, in its order.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [psobject] $InputObject,
        [Parameter(Mandatory)] [string] $TypeName,
        [System.Collections.IDictionary] $Inner = @{}
    )

    $properties = (Get-SnapMirrorContract).Type[$TypeName]
    $given = $InputObject.PSObject.Properties
    $values = New-Object -TypeName System.Collections.Specialized.OrderedDictionary
    foreach ($name in $properties.Keys) {
        $field = $properties[$name]
        $value = if ($given[$field]) { $given[$field].Value }
        if ($Inner.Contains($field)) {
            $value = @(foreach ($one in $value) { ConvertTo-SnapMirrorObject -InputObject $one -TypeName $Inner[$field] -Inner $Inner })
        } elseif ($null -ne $value -and $field -match '_(at|since)$') {
            $value = ConvertTo-SnapMirrorDate -Value $value
        } elseif ($null -ne $value -and $field -match '(^|_)seconds$') {
            $value = [timespan]::FromSeconds($value)
        } elseif ($given[$field] -and $given[$field].Value -is [array]) {
            $value = $given[$field].Value # a list of one is a list, too
        }
        $values[$name] = $value
    }
    $result = [pscustomobject]$values
    $result.PSObject.TypeNames.Insert(0, $TypeName)
    $result
}
