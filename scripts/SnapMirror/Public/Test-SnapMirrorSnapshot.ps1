function Test-SnapMirrorSnapshot {
    <#
    .SYNOPSIS
        Checks that snapshots are unchanged since they were made. Changes nothing.
    .DESCRIPTION
        Runs 'snapmirror verify' in the VM: names, modes, owners, sizes and times are compared with the manifest; with -Full,
        contents with their checksums as well, which reads everything. While a night runs it is refused with exit code 10.
        $LASTEXITCODE is 14, and there is an error SnapMirror.DAMAGE, if anything has changed.
    .PARAMETER Id
        The snapshots, as Get-SnapMirrorSnapshot shows them. Without it, all.
    .PARAMETER Mirror
        The mirror, where there are several. Without it, all.
    .PARAMETER Full
        Read every content. Takes as long as reading the whole image.
    .EXAMPLE
        Test-SnapMirrorSnapshot -Mirror web1 -Full

        Reads all that is kept of web1.
    .EXAMPLE
        Get-SnapMirrorSnapshot -Newest 1 | Test-SnapMirrorSnapshot | Select-Object -ExpandProperty Findings

        What is amiss in the newest snapshot of each mirror.
    .OUTPUTS
        SnapMirror.Verification: one for each mirror.
    .LINK
        Repair-SnapMirrorSnapshot
    #>
    [CmdletBinding()]
    [OutputType('SnapMirror.Verification')]
    param(
        [Parameter(Position = 0, ValueFromPipelineByPropertyName)] [string[]] $Id = @(),
        [Parameter(ValueFromPipelineByPropertyName)] [string] $Mirror,
        [switch] $Full
    )

    begin {
        $asked = $ErrorActionPreference
        $wanted = New-Object -TypeName System.Collections.Specialized.OrderedDictionary
    }

    process {
        $wanted[$Mirror] = @($wanted[$Mirror] | Where-Object { $_ }) + $Id # one check of each mirror, however many snapshots
    }

    end {
        foreach ($one in $wanted.Keys) {
            $ErrorActionPreference = 'Stop' # what ends a step ends the command, whatever the caller does with errors
            $answer = Invoke-SnapMirrorVerify -Activity 'Test-SnapMirrorSnapshot' -Id $wanted[$one] -Mirror $one -Full:$Full
            $answer.Output
            $ErrorActionPreference = $asked
            if (-not (Test-SnapMirrorSuccess -ExitCode $answer.ExitCode)) {
                $PSCmdlet.WriteError((New-SnapMirrorError -Command 'verify' -ExitCode $answer.ExitCode -Said $answer.Said))
            }
        }
    }
}
