function Invoke-SnapMirrorHostCheck {
    # Look at everything that an installation with these arguments needs; an object for each. Nothing is changed.
    [CmdletBinding()]
    [OutputType('SnapMirror.HostCheck')]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument
    )

    # (Looking changes nothing, but needs a file or two for it.)
    $WhatIfPreference = $false
    $ErrorActionPreference = 'Stop'
    $PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }
    $made = @((Get-SnapMirrorJournal).Made | ForEach-Object -Process { $_.Name })
    foreach ($one in @(Get-SnapMirrorHostCheck) + @(Get-SnapMirrorPlaceCheck)) {
        if ($one['If'] -and -not $Argument[$one['If']]) {
            continue
        }
        try {
            $found = & $one.Look $Argument $made $one['Taken']
        } catch {
            $kind = if ($one['Must']) { 'Bad' } else { 'Warning' }
            $found = @{ $kind = "It could not be looked at: $($_.Exception.Message)" }
        }
        $verdict = if ($found) { 'Bad', 'Warning', 'Good' | Where-Object { $found.ContainsKey($_) } } else { 'Good' }
        $result = New-Object -TypeName psobject -Property ([ordered]@{
            Name    = $one.Name
            Verdict = $verdict
            Message = if ($found) { $found[$verdict] } else { 'as it should be' }
            Remedy  = if ($found) { $found['Remedy'] }
        })
        $result.PSObject.TypeNames.Insert(0, 'SnapMirror.HostCheck')
        $result
        if ($one['Stop'] -and $verdict -eq 'Bad') {
            return
        }
    }
}
