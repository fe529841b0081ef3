function Register-SnapMirrorCompleter {
    # Tab completes mirrors, ids, and the names of a snapshot, as far as the VM answers; what it says is no business of the
    # one who types.
    [CmdletBinding()]
    param()

    $mirrors = {
        param($CommandName, $ParameterName, $WordToComplete)
        $null = $CommandName, $ParameterName
        try {
            $answer = Invoke-SnapMirrorCommand -Word 'status', '--json' -Quiet
            $answer.Output | ForEach-Object { $_.Mirrors } | ForEach-Object { $_.Mirror } | Where-Object { $_ -like "$WordToComplete*" }
        } catch {
            return
        }
    }
    $ids = {
        param($CommandName, $ParameterName, $WordToComplete, $CommandAst, $FakeBoundParameters)
        $null = $CommandName, $ParameterName, $CommandAst
        try {
            $word = @('list', '--json')
            if ($FakeBoundParameters['Mirror']) {
                $word += '--mirror', $FakeBoundParameters['Mirror']
            }
            $answer = Invoke-SnapMirrorCommand -Word $word -Quiet
            $answer.Output | ForEach-Object { $_.Id } | Where-Object { $_ -like "$WordToComplete*" } | Select-Object -Unique
        } catch {
            return
        }
    }
    $paths = {
        param($CommandName, $ParameterName, $WordToComplete, $CommandAst, $FakeBoundParameters)
        $null = $CommandName, $ParameterName, $CommandAst
        try {
            Get-SnapMirrorPathCompletion -Word $WordToComplete -Id $FakeBoundParameters['Id'] -Mirror $FakeBoundParameters['Mirror']
        } catch {
            return
        }
    }
    $with = 'Get-SnapMirrorSnapshot', 'Invoke-SnapMirrorRun', 'Repair-SnapMirrorSnapshot', 'Restore-SnapMirrorItem',
        'Show-SnapMirrorHistory', 'Test-SnapMirrorSnapshot'
    $here = $MyInvocation.MyCommand.Module
    Register-ArgumentCompleter -CommandName $with -ParameterName 'Mirror' -ScriptBlock $here.NewBoundScriptBlock($mirrors)
    $of = 'Restore-SnapMirrorItem', 'Test-SnapMirrorSnapshot'
    Register-ArgumentCompleter -CommandName $of -ParameterName 'Id' -ScriptBlock $here.NewBoundScriptBlock($ids)
    $names = $here.NewBoundScriptBlock($paths)
    Register-ArgumentCompleter -CommandName 'Restore-SnapMirrorItem' -ParameterName 'Path' -ScriptBlock $names
}
