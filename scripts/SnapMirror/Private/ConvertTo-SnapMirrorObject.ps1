function ConvertTo-SnapMirrorObject {
    # An object of snapmirror's JSON, with the properties that the contract names.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [psobject] $InputObject,
        [Parameter(Mandatory)] [string] $TypeName,
        [hashtable] $Inner = @{}
    )

    $properties = (Get-SnapMirrorContract).Type[$TypeName]
    $result = New-Object -TypeName psobject
    $result.PSObject.TypeNames.Insert(0, $TypeName)
    foreach ($name in $properties.Keys) {
        $field = $properties[$name]
        $value = $null
        if ($InputObject.PSObject.Properties[$field]) {
            $value = $InputObject.$field
        }
        if ($Inner.ContainsKey($field)) {
            $value = @(foreach ($one in $value) { ConvertTo-SnapMirrorObject -InputObject $one -TypeName $Inner[$field] -Inner $Inner })
        } elseif ($null -ne $value -and $field -match '_(at|since)$') {
            $value = ConvertTo-SnapMirrorDate -Value $value
        } elseif ($null -ne $value -and $field -match '(^|_)seconds$') {
            $value = [timespan]::FromSeconds($value)
        }
        Add-Member -InputObject $result -MemberType NoteProperty -Name $name -Value $value
    }
    $result
}
