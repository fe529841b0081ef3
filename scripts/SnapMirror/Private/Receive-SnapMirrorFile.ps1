function Receive-SnapMirrorFile {
    # Copy files and folders out of the VM, by sftp. Symbolic links are left out: sftp does not follow them. What cannot be
    # copied is an error for each name, after all the others. With -From, gives the real place of that folder meanwhile.
    # With -Activity, progress tells which of the names it is.
    [CmdletBinding(SupportsShouldProcess)]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [AllowEmptyCollection()] [string[]] $Path,
        [Parameter(Mandatory)] [string] $Destination,
        [string] $From,
        [string] $Activity
    )

    if (-not $PSCmdlet.ShouldProcess($Destination, "copy $($Path -join ', ') from the VM")) {
        return
    }
    $asked = $ErrorActionPreference
    $ErrorActionPreference = 'Stop'
    $setting = Get-SnapMirrorSetting
    $null = New-Item -ItemType Directory -Path $Destination -Force -Confirm:$false
    $target = if ($env:OS -eq 'Windows_NT') { $Destination -replace '\\', '/' } else { $Destination -replace '(["\\])', '\$1' }
    $first = @(if ($From) { 'cd "{0}"' -f ($From -replace '(["\\])', '\$1'); 'pwd' })
    $batch = [System.IO.Path]::GetTempFileName()
    $argument = @(Get-SnapMirrorSshOption) + @('-q', '-b', $batch, "$($setting.User)@$($setting.Address)")
    $sftp = Get-SnapMirrorProgram -Name 'sftp'
    $rest = $Path
    $failed = @()
    $state = @{ Begun = 0 }
    $status = {
        param($Said)
        # It names each line before it is done, and ends at the first that fails.
        if ($Said -match '^sftp> get ') {
            $state.Begun++
            $name = "$($Path[$state.Begun - 1])".Substring("$From".Length)
            $percent = [int][math]::Floor(100 * ($state.Begun - 1) / $Path.Count)
            @{ Text = "$($state.Begun) of $($Path.Count): $name"; Percent = $percent; Figures = $true }
        }
    }
    try {
        do {
            $line = foreach ($one in $rest) {
                'get -r -p "{0}" "{1}/"' -f ($one -replace '(["\\])', '\$1'), $target
            }
            Write-SnapMirrorText -Path $batch -Text ((($first + $line) -join "`n") + "`n")
            $done = Invoke-SnapMirrorProgram -Program $sftp -Argument $argument -Activity $Activity -Status $status
            foreach ($one in $done.Output | Where-Object { $_ -match '^Remote working directory: ' }) {
                $one -replace '^Remote working directory: ', ''
            }
            $begun = @($done.Output | Where-Object { $_ -match '^sftp> get ' }).Count
            if ($done.ExitCode -ne 0 -and $begun) {
                $failed += $rest[$begun - 1]
            } elseif ($done.ExitCode -ne 0) {
                $code = if ($done.ExitCode -eq 255) { 255 } else { Get-SnapMirrorExitCode -Name 'TRANSFER' }
                $global:LASTEXITCODE = $code
                throw (New-SnapMirrorError -Command 'sftp' -ExitCode $code -Said $done.Said)
            }
            $rest = @($rest | Select-Object -Skip $begun)
        } while ($done.ExitCode -ne 0 -and $rest)
    } finally {
        Remove-Item -LiteralPath $batch -Confirm:$false
    }
    $global:LASTEXITCODE = if ($failed) { Get-SnapMirrorExitCode -Name 'TRANSFER' } else { 0 }
    $ErrorActionPreference = $asked
    foreach ($one in $failed) {
        $text = "$one could not be copied whole; sftp says above why"
        $PSCmdlet.WriteError((New-SnapMirrorError -Command 'sftp' -ExitCode $LASTEXITCODE -Message $text -Target $one))
    }
}
