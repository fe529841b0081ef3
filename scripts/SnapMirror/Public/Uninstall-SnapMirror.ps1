function Uninstall-SnapMirror {
    <#
    .SYNOPSIS
        Removes everything that Install-SnapMirror has made, except backups and keys.
    .DESCRIPTION
        Undoes the steps that Install-SnapMirror has recorded, however far it came: the scheduled task, the VM with its disk,
        the internal switch, the firewall rule, the share, the account and its rights. If something cannot be removed, that is an
        error, it stays on the list, and the rest goes on: call it again.

        The folder of the image is not touched, nor C:\ProgramData\SnapMirror with image.key, image.luks-header
        and the seed: with these, and the image, everything can be read again. They are named in the output.

        A night that runs is asked to end first, as at any shutdown of the VM.
    .PARAMETER Force
        Do not ask.
    .EXAMPLE
        Uninstall-SnapMirror -WhatIf

        Says what would be removed.
    .EXAMPLE
        Uninstall-SnapMirror -Force

        Removes it without a question.
    .OUTPUTS
        System.IO.FileSystemInfo: what stays.
    .LINK
        Install-SnapMirror
    #>
    [CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
    [OutputType([System.IO.FileSystemInfo])]
    param(
        [switch] $Force
    )

    if ($Force) {
        $ConfirmPreference = 'None'
    }
    $root = Get-SnapMirrorHome
    $journal = Get-SnapMirrorJournal
    if (-not $journal.Made) {
        throw "There is nothing to remove: $(Join-Path $root 'installation.json') is missing or empty, or only administrators can see it."
    }
    $setting = Get-SnapMirrorHostSetting -Argument $journal.Argument
    $step = @(Get-SnapMirrorStep)
    [array]::Reverse($step)
    $failed = 0
    $number = 0
    $all = $journal.Made.Count
    try {
        foreach ($one in $step) {
            $entry = $journal.Made | Where-Object -FilterScript { $_.Name -eq $one.Name }
            $left = @($journal.Made | ForEach-Object -Process { $_.Name })
            if ($left -notcontains $one.Name -or @($one['After'] | Where-Object { $failed -and $left -contains $_ }).Count -or
                -not $PSCmdlet.ShouldProcess($one.Name, "undo: $($one.Say)")) {
                continue
            }
            $number++
            Write-Progress -Activity 'Uninstall-SnapMirror' -Status "${number} of ${all}: undo: $($one.Say)" -PercentComplete (100 * ($number - 1) / $all)
            try {
                & {
                    $ErrorActionPreference = 'Stop'
                    $PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop'; '*:Confirm' = $false }
                    $null = & $one.Undo $setting $entry.Sid
                }
                $journal.Made = @($journal.Made | Where-Object { $_.Name -ne $one.Name })
                Set-SnapMirrorJournal -Journal $journal
            } catch {
                $failed++
                $text = "Not removed: '$($one.Name)' ($($one.Say)): $($_.Exception.Message)"
                $PSCmdlet.WriteError((New-Object -TypeName System.Management.Automation.ErrorRecord -ArgumentList @(
                    (New-Object -TypeName System.InvalidOperationException -ArgumentList $text, $_.Exception),
                    "SnapMirror.Uninstall.$($one.Name)", [System.Management.Automation.ErrorCategory]::NotSpecified, $one.Name
                )))
            }
        }
    } finally {
        Write-Progress -Activity 'Uninstall-SnapMirror' -Completed
    }
    if ($failed -or $WhatIfPreference) {
        return
    }
    if (-not $journal.Made) {
        Remove-SnapMirrorFile -Path (Join-Path $root 'installation.json') -Confirm:$false
    }
    Get-Item -LiteralPath (@($setting.SharePath, $root) | Where-Object { Test-Path -LiteralPath $_ })
}
