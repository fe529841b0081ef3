function Assert-SnapMirrorHost {
    # Everything that Install-SnapMirror needs is there; else it stops before it has changed anything, and names all of it.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument
    )

    $check = @(Invoke-SnapMirrorHostCheck -Argument $Argument)
    foreach ($one in $check | Where-Object -Property Verdict -EQ -Value 'Warning') {
        Write-Warning -Message "$($one.Name): $($one.Message) $($one.Remedy)"
    }
    $bad = @($check | Where-Object -Property Verdict -EQ -Value 'Bad')
    if ($bad) {
        throw ($bad | ForEach-Object -Process { "$($_.Name): $($_.Message) $($_.Remedy)".TrimEnd() }) -join [System.Environment]::NewLine
    }
}
