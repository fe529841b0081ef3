function Invoke-SnapMirrorStep {
    # Run the steps of the installation that are not done, each to its end; gives what was done, one object for each.
    #
    # A step is written down before it begins, and again when what it makes was seen: so whatever was reached is known.
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [hashtable[]] $Step,
        [Parameter(Mandatory)] [hashtable] $Setting,
        [Parameter(Mandatory)] [hashtable] $Wish,
        [Parameter(Mandatory)] [hashtable] $Argument
    )

    $journal = Get-SnapMirrorJournal
    $number = 0
    $skipped = @()
    try {
        foreach ($one in $Step) {
            $number++
            $given = (& $one.Given $Setting $Wish) -join '; '
            $entry = $journal.Made | Where-Object { $_.Name -eq $one.Name }
            $from = @($one['From'] | Where-Object { $skipped -contains $_ })
            $same = -not $from -and $entry -and $entry.State -eq 'done' -and $entry.Given -eq $given
            if ($same -and (Test-SnapMirrorStep -Step $one -Setting $Setting -Wish $Wish)) {
                New-Object -TypeName psobject -Property @{ Name = $one.Name; Done = 'nothing'; Given = $given }
                continue
            }
            $done = 'made'
            $what = $one.Say
            if ($entry -and $entry.Given -ne $given) {
                $done = 'changed'
                $what += " (was: $($entry.Given))"
            } elseif ($from) {
                $what += " (after: $($from -join ', '))"
            } elseif ($entry) {
                $done = 'mended'
            }
            if (-not $PSCmdlet.ShouldProcess($(if ($given) { $given } else { $one.Name }), $what)) {
                $skipped += $one.Name
                continue
            }
            Write-Progress -Activity 'Install-SnapMirror' -Status "${number} of $($Step.Count): $what" -PercentComplete (100 * ($number - 1) / $Step.Count)
            Write-Verbose -Message "$($one.Name): $what"
            if (-not $entry) {
                $entry = @{ Name = $one.Name; Since = $null }
                $journal.Made = @($journal.Made) + $entry
            }
            $entry.State = 'begun'
            $entry.Given = $given
            $entry.At = (Get-Date).ToUniversalTime().ToString('s') + 'Z'
            if (-not $entry.Since) {
                $entry.Since = $entry.At
            }
            if ($one['Sid']) {
                $entry.Sid = @(Get-SnapMirrorAccountNumber -Account $Setting.Account -Known $entry['Sid'])
            }
            $journal.Argument = $Argument
            Set-SnapMirrorJournal -Journal $journal
            try {
                & {
                    # Preferences do not reach the functions of other modules (SmbShare, Net*, Storage, ScheduledTasks):
                    # these words are given to each of them instead.
                    $ErrorActionPreference = 'Stop'
                    $PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop'; '*:Confirm' = $false }
                    $null = & $one.Do $Setting $Wish
                }
                if (-not (Test-SnapMirrorStep -Step $one -Setting $Setting -Wish $Wish)) {
                    throw 'it was made without an error, but is not there'
                }
            } catch {
                $text = "Install-SnapMirror stopped at the step '$($one.Name)' ($($one.Say)): $($_.Exception.Message) " +
                    'Call it again with the same words when that is mended, or Uninstall-SnapMirror.'
                $failure = New-Object -TypeName System.InvalidOperationException -ArgumentList $text, $_.Exception
                $record = New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList @(
                    $failure, "SnapMirror.Install.$($one.Name)", [System.Management.Automation.ErrorCategory]::NotSpecified, $one.Name
                )
                $PSCmdlet.ThrowTerminatingError($record)
            }
            $entry.State = 'done'
            Set-SnapMirrorJournal -Journal $journal
            New-Object -TypeName psobject -Property @{ Name = $one.Name; Done = $done; Given = $given }
        }
    } finally {
        Write-Progress -Activity 'Install-SnapMirror' -Completed
    }
}
