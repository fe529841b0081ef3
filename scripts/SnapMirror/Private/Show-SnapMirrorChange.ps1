function Show-SnapMirrorChange {
    # Say what another call of Install-SnapMirror changes of an installation that is there, before it does.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [hashtable] $Before,
        [Parameter(Mandatory)] [hashtable] $After,
        [bool] $Hidden
    )

    if (-not $Hidden) {
        $InformationPreference = 'Continue' # it is shown, unless the caller has said what to do with such words
    }

    $word = @{ SeedFiles = 'the files of -SeedPath and -AdminKeyPath'; Vhdx = '-VhdxPath' }
    foreach ($name in $After.Keys | Sort-Object) {
        if ($Before.ContainsKey($name) -and "$($Before[$name])" -cne "$($After[$name])") {
            $what = if ($word.ContainsKey($name)) { $word[$name] } else { "-$name" }
            Write-Information -MessageData "This changes ${what}: $($After[$name]) (was: $($Before[$name]))"
        }
    }
}
