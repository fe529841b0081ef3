# Where Windows PowerShell 5.1 and PowerShell 7 differ, done in one way for both. A test asks the engine's own parser
# whether anything else of the module starts a program, reads JSON, or reads or writes text by itself.

function Get-SnapMirrorEngine {
    # What runs this: its version, whether as wide as Windows is (32 or 64 bits), and with its whole language.
    [CmdletBinding()]
    [OutputType([psobject])]
    param()

    $mode = $ExecutionContext.SessionState.LanguageMode
    New-Object -TypeName psobject -Property @{
        Version = $PSVersionTable.PSVersion
        Wide    = [System.Environment]::Is64BitProcess -or -not [System.Environment]::Is64BitOperatingSystem
        Whole   = "$mode" -eq 'FullLanguage'
        Mode    = $mode
    }
}

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
    #
    # With -Activity, progress is shown as long as it runs: -Status is asked about each line, those that it prints as well,
    # and gives a table with Text, Percent (-1: not known) and whether these are all that the line has, Figures; or nothing.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [string] $Program,
        [Parameter(Mandatory)] [AllowEmptyString()] [AllowEmptyCollection()] [string[]] $Argument,
        [string] $Activity,
        [scriptblock] $Status = { $null },
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
        $reader = @{ Said = $process.StandardError; Output = $process.StandardOutput }
        $seen = @{}
        $next = @{}
        foreach ($name in $reader.Keys) {
            $seen[$name] = New-Object -TypeName System.Collections.ArrayList
            $next[$name] = $reader[$name].ReadLineAsync()
        }
        $watch = [System.Diagnostics.Stopwatch]::StartNew()
        $shown = -1
        $now = @{ Text = 'connecting'; Percent = -1; Figures = $false }
        while ($next.Count) {
            # (now and then, so that the caller can be stopped here)
            $null = [System.Threading.Tasks.Task]::WaitAny([System.Threading.Tasks.Task[]]@($next.Values), 200)
            foreach ($name in @($next.Keys)) {
                while ($next.ContainsKey($name) -and $next[$name].IsCompleted) {
                    $line = $next[$name].Result
                    if ($null -eq $line) {
                        $next.Remove($name)
                        continue
                    }
                    $next[$name] = $reader[$name].ReadLineAsync()
                    $null = $seen[$name].Add($line)
                    $told = if ($Activity) { & $Status $line }
                    if ($told) {
                        $now = $told
                        $shown = -1
                    }
                    if ($name -eq 'Said' -and -not $Quiet -and -not ($told -and $told.Figures)) {
                        $Host.UI.WriteErrorLine($line)
                    }
                }
            }
            $second = [int][math]::Floor($watch.Elapsed.TotalSeconds)
            if ($Activity -and $second -ne $shown) {
                $shown = $second
                $since = [timespan]::FromSeconds($second)
                Write-Progress -Activity $Activity -Status "$($now.Text) ($since)" -PercentComplete $now.Percent
            }
        }
        $process.WaitForExit()
        $ended = $true
        New-Object -TypeName psobject -Property @{
            ExitCode = $process.ExitCode
            Output   = @($seen['Output'] | Where-Object { $_ })
            Said     = @($seen['Said'])
        }
    } finally {
        if (-not $ended -and -not $process.HasExited) {
            $process.Kill()
        }
        $process.Dispose()
        if ($Activity) {
            Write-Progress -Activity $Activity -Completed
        }
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
    # A text file: UTF-8, or UTF-16 with its mark, as Windows' own programs write it. 5.1 would take one without a mark for
    # the code page of the machine. (.NET knows neither the current folder of PowerShell nor its drives.)
    [CmdletBinding()]
    [OutputType([string])]
    param(
        [Parameter(Mandatory)] [string] $Path
    )

    $whole = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Path)
    [System.IO.File]::ReadAllText($whole, [System.Text.Encoding]::UTF8)
}

function Write-SnapMirrorText {
    # Text as Linux reads it: UTF-8 without a mark (which 5.1's own cmdlets cannot write), lines that end in LF; or, with
    # -ForWindows, as secedit reads it: UTF-16 with its mark, lines as they are.
    [CmdletBinding()]
    param(
        [Parameter(Mandatory)] [string] $Path,
        [Parameter(Mandatory)] [string] $Text,
        [switch] $ForWindows
    )

    $whole = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Path)
    if ($ForWindows) {
        [System.IO.File]::WriteAllText($whole, $Text, [System.Text.Encoding]::Unicode)
    } else {
        $encoding = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
        [System.IO.File]::WriteAllText($whole, ($Text -replace "`r`n", "`n"), $encoding)
    }
}
