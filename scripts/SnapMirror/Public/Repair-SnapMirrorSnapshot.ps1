function Repair-SnapMirrorSnapshot {
    <#
    .SYNOPSIS
        Replaces damaged files of all snapshots by a good copy, from another snapshot or from the server.
    .DESCRIPTION
        Runs 'snapmirror verify --heal' in the VM. It proves each copy by its checksum, and replaces the damaged file in every
        snapshot that shares it. By default it reads only the files that the nights have found damaged, which
        Get-SnapMirrorStatus lists. $LASTEXITCODE is 0 if there was nothing to do, 3 if all is healed; what could not be
        healed is exit code 14 and an error SnapMirror.DAMAGE.
    .PARAMETER Mirror
        The mirror, where there are several. Without it, all.
    .PARAMETER All
        Read every content, and heal what is found. Takes as long as reading the whole image.
    .EXAMPLE
        Repair-SnapMirrorSnapshot

        Heals what the nights have found.
    .EXAMPLE
        (Repair-SnapMirrorSnapshot -All).Findings | Where-Object { -not $_.Healed }

        Reads everything; what is still damaged.
    .OUTPUTS
        SnapMirror.Verification: one for each mirror.
    .LINK
        Test-SnapMirrorSnapshot
    .LINK
        Get-SnapMirrorStatus
    #>
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType('SnapMirror.Verification')]
    param(
        [Parameter(Position = 0, ValueFromPipelineByPropertyName)] [string] $Mirror,
        [switch] $All
    )

    begin {
        $asked = $ErrorActionPreference
        $wanted = @()
    }

    process {
        $wanted += $Mirror # several snapshots of a mirror are one run of it
    }

    end {
        foreach ($one in @($wanted | Select-Object -Unique)) {
            if (-not $PSCmdlet.ShouldProcess("mirrors: $(if ($one) { $one } else { 'all' })", 'heal damaged files')) {
                continue
            }
            $ErrorActionPreference = 'Stop' # what ends a step ends the command, whatever the caller does with errors
            $answer = Invoke-SnapMirrorVerify -Activity 'Repair-SnapMirrorSnapshot' -Mirror $one -Found:(-not $All) -Heal
            $answer.Output
            $ErrorActionPreference = $asked
            if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
                $PSCmdlet.WriteError((New-SnapMirrorError -Command 'verify' -ExitCode $answer.ExitCode -Said $answer.Said))
            }
        }
    }
}
