# Where Windows PowerShell 5.1 and PowerShell 7 differ, done in one way for both. A test looks that nothing else of the
# module starts a program, reads JSON or writes text by itself.

function ConvertTo-SnapMirrorArgument {
    # Arguments as one line, as every program of Windows takes it apart (CommandLineToArgvW; .NET does so on Linux, too).
    # 5.1 drops empty arguments and quotes within them; 7 does so or not, by $PSNativeCommandArgumentPassing.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [AllowEmptyString()] [AllowEmptyCollection()] [string[]] $Argument
    )

    $quoted = foreach ($one in $Argument) {
        if ($one -and $one -notmatch '[\s"]') {
            $one
        } else {
            # A backslash is doubled where a quote follows it, that at the end, too.
            '"' + (($one -replace '(\\*)"', '$1$1\"') -replace '(\\+)$', '$1$1') + '"'
        }
    }
    $quoted -join ' '
}

function Invoke-SnapMirrorProgram {
    # Run a program; gives its exit code, the lines that it printed, and those that it said on stderr. These are shown as
    # they come, but never become errors (5.1 ends under 'Stop' when they are redirected). It gets no stdin: what waits
    # there is the caller's.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [AllowEmptyString()] [AllowEmptyCollection()] [string[]] $Argument,
        [switch] $Quiet
    )

    $start = New-Object -TypeName System.Diagnostics.ProcessStartInfo
    $start.FileName = $Program
    $start.Arguments = ConvertTo-SnapMirrorArgument -Argument $Argument
    $start.WorkingDirectory = (Get-Location -PSProvider 'FileSystem').ProviderPath
    $start.UseShellExecute = $false
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = [System.Text.Encoding]::UTF8
    $start.StandardErrorEncoding = [System.Text.Encoding]::UTF8
    $process = [System.Diagnostics.Process]::Start($start)
    $ended = $false
    try {
        $process.StandardInput.Close()
        $printed = $process.StandardOutput.ReadToEndAsync()
        $said = @(while ($true) {
            $next = $process.StandardError.ReadLineAsync()
            while (-not $next.Wait(200)) {
                continue # so that the caller can be stopped here
            }
            if ($null -eq $next.Result) {
                break
            }
            if (-not $Quiet) {
                $Host.UI.WriteErrorLine($next.Result)
            }
            $next.Result
        })
        $all = $printed.Result
        $process.WaitForExit()
        $ended = $true
        New-Object -TypeName psobject -Property @{
            ExitCode = $process.ExitCode
            Output   = @($all -split '\r?\n' | Where-Object { $_ })
            Said     = $said
        }
    } finally {
        if (-not $ended -and -not $process.HasExited) {
            $process.Kill()
        }
        $process.Dispose()
    }
}

function ConvertFrom-SnapMirrorJson {
    # Objects, one by one, as they stand in JSON. 5.1 gives a list as one object; 7 makes a date of each text that looks
    # like one, also of a file's name: a mark before it hides that, and is taken away again.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Text
    )

    $hidden = [string][char]0xE000
    $marked = [regex]::Replace($Text, '(?<!\\)"(?=\d{4}-\d\d-\d\dT|\\?/Date\()', "`"$hidden")
    foreach ($one in (ConvertFrom-Json -InputObject $marked)) {
        Remove-SnapMirrorMark -Value $one -Mark $hidden
    }
}

function Remove-SnapMirrorMark {
    # The mark taken from every text of a value.
    [Diagnostics.CodeAnalysis.SuppressMessageAttribute(
        'PSUseShouldProcessForStateChangingFunctions', '', Justification = 'It changes an object of its own.')]
    [CmdletBinding()]
    param(
        [AllowNull()] [object] $Value,
        [Parameter(Mandatory)] [string] $Mark
    )

    if ($Value -is [string]) {
        return $(if ($Value.StartsWith($Mark, [System.StringComparison]::Ordinal)) { $Value.Substring(1) } else { $Value })
    }
    if ($Value -is [array]) {
        for ($place = 0; $place -lt $Value.Count; $place++) {
            $Value[$place] = Remove-SnapMirrorMark -Value $Value[$place] -Mark $Mark
        }
        return , $Value
    }
    if ($Value -is [System.Management.Automation.PSCustomObject]) {
        foreach ($property in $Value.PSObject.Properties) {
            if ($property.Value -is [string] -or $property.Value -is [array] -or $property.Value -is [System.Management.Automation.PSCustomObject]) {
                $property.Value = Remove-SnapMirrorMark -Value $property.Value -Mark $Mark
            }
        }
    }
    $Value
}

function Read-SnapMirrorText {
    # A text file of ours. 5.1 would take it for the code page of the machine.
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    [System.IO.File]::ReadAllText($Path, [System.Text.Encoding]::UTF8)
}
