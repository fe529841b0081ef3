function Get-SnapMirrorInstallation {
    <#
    .SYNOPSIS
        Shows what Install-SnapMirror has made on this host, when, and whether it still exists.
    .DESCRIPTION
        Reads installation.json, beside the settings, in which Install-SnapMirror writes each step as it begins and when it
        is done, and asks Windows whether what it made is there. It changes nothing, and prints nothing if nothing
        is installed. Install-SnapMirror makes missing parts again; Uninstall-SnapMirror removes what is listed.

        Each object has a Step, What it made, When that was last, Since when it exists, and a State: done; begun (it was
        interrupted); missing (somebody has removed or changed it); unknown (Windows does not tell).
    .EXAMPLE
        Get-SnapMirrorInstallation

        Shows every step.
    .EXAMPLE
        Get-SnapMirrorInstallation | Where-Object State -ne done

        What another Install-SnapMirror would mend.
    .OUTPUTS
        SnapMirror.InstallationStep
    .LINK
        Install-SnapMirror
    .LINK
        Uninstall-SnapMirror
    #>
    [CmdletBinding()]
    [OutputType('SnapMirror.InstallationStep')]
    param()

    $journal = Get-SnapMirrorJournal
    if (-not $journal.Made) {
        return
    }
    $setting = Get-SnapMirrorHostSetting -Argument $journal.Argument
    $wish = @{
        SwitchName = $journal.Argument['SwitchName']; At = $journal.Argument['At']; CopyPath = $journal.Argument['CopyPath']
        # The module that was copied, which may be older than this one: the last word of what is written down.
        ModuleHash = @($journal.Made | Where-Object { $_.Name -eq 'task' } | ForEach-Object { ($_.Given -split '; ')[-1] })[0]
    }
    foreach ($step in Get-SnapMirrorStep) {
        $entry = $journal.Made | Where-Object -FilterScript { $_.Name -eq $step.Name }
        if (-not $entry) {
            continue
        }
        $state = $entry.State
        if ($state -eq 'done') {
            try {
                if (-not (Test-SnapMirrorStep -Step $step -Setting $setting -Wish $wish)) {
                    $state = 'missing'
                }
            } catch {
                Write-Verbose -Message "$($step.Name): $_"
                $state = 'unknown'
            }
        }
        $result = New-Object -TypeName psobject -Property ([ordered]@{
            Step  = $step.Name
            What  = if ($entry.Given) { "$($step.Say): $($entry.Given)" } else { $step.Say }
            When  = ConvertTo-SnapMirrorDate -Value $entry.At
            Since = ConvertTo-SnapMirrorDate -Value $entry.Since
            State = $state
        })
        $result.PSObject.TypeNames.Insert(0, 'SnapMirror.InstallationStep')
        $result
    }
}
