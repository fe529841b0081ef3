<#
.SYNOPSIS
    Tries the whole module on a real Windows host, uninstalls it again, and writes a report. Image folder, keys and seed stay.
.DESCRIPTION
    For the first ones who have a Windows host: nobody of the project had. In an administrator's PowerShell, on a machine
    with Hyper-V and without an installation of SnapMirror. The folder SnapMirror lies beside this script, and both have been
    unblocked (Unblock-File). Asks before anything is made.

    If Pester 5 is here, runs those of the module's own tests that need no doubles of Windows' cmdlets: in a process of their
    own, with a program in the place of ssh, on files in a temporary folder. Then looks at the host (Test-SnapMirrorHost), installs under names of its own, installs again (nothing may change), asks for
    the status, makes a snapshot, lists it, restores a file of it, checks it, copies the image, uninstalls, and looks whether
    anything is left. A check that fails does not stop the others, unless they need it; Uninstall-SnapMirror comes whatever
    has happened.

    What stays, as after each Uninstall-SnapMirror: the folder of the image (-SharePath), and C:\ProgramData\SnapMirror with
    the keys, the seed and the settings. The report names both. To remove them, which also removes the snapshot just made:

        Remove-Item -Recurse -Force D:\Try, C:\ProgramData\SnapMirror

    Nothing of yours is among it: the script refuses to begin where one of the two is there already, so a second try needs
    this first. The line in the server's authorized_keys stays, too, and so does the copy of the image below -CopyPath.

    The report is first-run.txt and first-run.json: versions, each check with its seconds, its errors and where they were. No
    passwords and keys, and other words for the source, its server, IP addresses, this computer, its domain and its user. A
    name of one letter, or one that is a usual English word, is replaced only where it stands beside \, / or @. Please look
    through it, and send it.
.PARAMETER VhdxPath
    The disk of the VM: snapmirror.vhdx, as vm/build makes it.
.PARAMETER SharePath
    A folder for the image that does not exist yet, on NTFS or ReFS.
.PARAMETER SwitchName
    The Hyper-V switch by which the VM reaches the server.
.PARAMETER Source
    What to mirror, such as root@web1.example:/etc. Something small.
.PARAMETER SeedPath
    A folder with known_hosts of that server, as for Install-SnapMirror; and id_ed25519, if the server knows that key already.
.PARAMETER RestorePath
    A file of the source, which is restored.
.PARAMETER CopyPath
    A folder of another disk, to which the image is copied. Without it, the copy is not tried.
.PARAMETER ReportPath
    A folder for the report.
.PARAMETER VMName
    The name of the VM.
.PARAMETER Account
    The name of the local account.
.PARAMETER ShareName
    The name of the share.
.PARAMETER Network
    The first three numbers of the addresses on the wire between Windows and the VM.
.PARAMETER TestPath
    The file with the module's own tests.
.PARAMETER Force
    Do not ask, neither whether to begin, nor whether the key is on the server.
.EXAMPLE
    .\first-run.ps1 -VhdxPath D:\snapmirror.vhdx -SharePath D:\Try -SwitchName 'Default Switch' -Source root@web1.example:/etc -SeedPath D:\seed -RestorePath /hosts

    Tries everything but the copy.
.OUTPUTS
    One object for each check. $LASTEXITCODE is 0 if no check failed, else 1.
#>
[CmdletBinding(SupportsShouldProcess, ConfirmImpact = 'High')]
param(
    [Parameter(Mandatory)] [string] $VhdxPath,
    [Parameter(Mandatory)] [string] $SharePath,
    [Parameter(Mandatory)] [string] $SwitchName,
    [Parameter(Mandatory)] [string] $Source,
    [Parameter(Mandatory)] [string] $SeedPath,
    [Parameter(Mandatory)] [string] $RestorePath,
    [string] $CopyPath,
    [string] $ReportPath = '.',
    [string] $VMName = 'snapmirror-try',
    [string] $Account = 'snapmirror-try',
    [string] $ShareName = 'snapmirror-try',
    [string] $Network = '10.253.91',
    [string] $TestPath = (Join-Path -Path $PSScriptRoot -ChildPath 'SnapMirror/tests/SnapMirror.Tests.ps1'),
    [switch] $Force
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$module = Import-Module -Name (Join-Path -Path $PSScriptRoot -ChildPath 'SnapMirror/SnapMirror.psd1') -PassThru
$folder = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($ReportPath)
$data = Join-Path -Path $env:ProgramData -ChildPath 'SnapMirror'
$install = @{
    VhdxPath = $VhdxPath; SharePath = $SharePath; SwitchName = $SwitchName; Source = $Source; MirrorName = 'try'; ImageSize = '2G'
    SeedPath = $SeedPath; VMName = $VMName; Account = $Account; ShareName = $ShareName; Network = $Network
}

if (Test-Path -LiteralPath (Join-Path $data 'installation.json')) {
    throw "There is an installation of SnapMirror on this host ($data). This script would take it for its own, so it needs another host."
}
if (Test-Path -LiteralPath $data) {
    throw "$data is there already, and may hold the only key of an image. Move it to another place; if it is of an earlier first-run.ps1, remove it."
}
if (Test-Path -LiteralPath $SharePath) {
    throw "$SharePath is there already. Name a folder that is not: what is made stays apart from what is yours."
}
$made = "install SnapMirror as the VM $VMName with account, share, switch and task, run it, and uninstall it again"
if (-not $Force -and -not $PSCmdlet.ShouldProcess($env:COMPUTERNAME, $made)) {
    return
}
$null = New-Item -ItemType Directory -Path $folder -Force -Confirm:$false

$check = New-Object -TypeName System.Collections.ArrayList
$usual = 'ad', 'am', 'an', 'as', 'at', 'be', 'by', 'do', 'go', 'id', 'if', 'in', 'is', 'it', 'me', 'no', 'of', 'ok', 'on', 'or', 'so', 'to', 'up', 'vm', 'we'
$known = @{} # what later checks, and the report, need of earlier ones

function Get-Server {
    # The server of the source, by its name and its addresses. A name that is not found has none.
    $server = $Source -replace '^[a-z]+://', '' -replace '^[^@/\[]*@', ''
    $server = if ($server -match '^\[([^\]]+)\]') { $Matches[1] } else { $server -replace '[:/].*$', '' }
    if ($server) {
        $server
        try {
            # An address that is written in another way, such as 2001:DB8:0::1, is found in its usual form, too.
            [System.Net.Dns]::GetHostAddresses($server) | ForEach-Object { $_.IPAddressToString }
        } catch {
            $null = $_ # the name is hidden all the same
        }
    }
}

function Get-Private {
    # The names that the report must not tell, the longest first: a name may hold another.
    $domain = [System.Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().DomainName
    $user = if ($Source -match '^(?:[a-z]+://)?([^@/:\[]+)@') { $Matches[1] }
    $found = @(
        @{ Word = '<source>'; Value = $Source }
        Get-Server | ForEach-Object { @{ Word = '<server>'; Value = $_ } }
        @{ Word = '<host>'; Value = $env:COMPUTERNAME }
        @{ Word = '<user>'; Value = $env:USERNAME }
        $env:USERDOMAIN, $env:USERDNSDOMAIN, $domain | ForEach-Object { @{ Word = '<domain>'; Value = $_ } }
        if ($user -ne 'root') { @{ Word = '<login>'; Value = $user } }
    )
    $found | Where-Object { $_.Value -match '\w' } | Sort-Object -Property @{ Expression = { $_.Value.Length }; Descending = $true }
}

function Hide-Private {
    # A text without what is nobody's business: the password of the account, keys, and who and where this is.
    param([AllowNull()] [AllowEmptyString()] [string] $Text)

    $credentials = Join-Path $data 'smb.cred'
    if (Test-Path -LiteralPath $credentials) {
        $known['Password'] = (Get-Content -LiteralPath $credentials | Where-Object { $_ -match '^password=' }) -replace '^password=', ''
    }
    if ($known.ContainsKey('Password') -and $known['Password']) {
        $Text = $Text.Replace($known['Password'], '<password>')
    }
    if (-not $known.ContainsKey('Private')) {
        $known['Private'] = @(Get-Private)
    }
    foreach ($one in $known['Private']) {
        $value = [regex]::Escape($one.Value)
        # A drive C, or the word "it", is not a name: to replace it would spoil the text, and tell the name.
        $Text = if ($one.Value.Length -lt 2 -or $usual -contains $one.Value) {
            $Text -replace "(?<=[\\/@])$value(?![\w`$])|(?<![\w:])$value(?=[\\@])", $one.Word
        } else {
            $Text -replace "(?<!\w)$value(?!\w)", $one.Word
        }
    }
    # Other addresses: what the VM finds for the server's name may not be what Windows finds.
    $Text = [regex]::Replace($Text, '(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?![\w.]*\d)|(?<![\w:.\]])[0-9A-Fa-f]*(:[0-9A-Fa-f]*){2,7}(?![\w:])', {
        param($match)
        $address = $null
        if (-not [System.Net.IPAddress]::TryParse($match.Value, [ref] $address) -or $match.Value -notmatch '\d' -or
            [System.Net.IPAddress]::IsLoopback($address) -or $match.Value -like "$Network.*") {
            return $match.Value
        }
        '<address>'
    })
    $Text = $Text -replace '(?s)-----BEGIN [^-]*KEY-----.*?(-----END [^-]*KEY-----|$)', '<key>'
    $Text -replace '(ssh-[a-z0-9]+ )[A-Za-z0-9+/=]{20,}', '$1<key>' -replace '(?i)(password[=: ]+)\S+', '$1<password>'
}

function Invoke-Check {
    # One check: it is good if its script gives nothing but notes, and throws nothing. -Needs names a check without which
    # it tells nothing; -Lacks says what this host has not, so that it cannot be tried.
    param([string] $Name, [string] $Needs, [string] $Lacks, [scriptblock] $Script)

    $entry = @{ Name = $Name; Result = 'failed'; Seconds = 0.0; Notes = New-Object -TypeName System.Collections.ArrayList; Errors = @() }
    $null = $check.Add($entry)
    if ($Lacks) {
        $entry.Result = 'not tried'
        $null = $entry.Notes.Add((Hide-Private -Text $Lacks))
        return
    }
    if ($Needs -and @($check | Where-Object { $_.Name -eq $Needs -and $_.Result -eq 'good' }).Count -eq 0) {
        $entry.Result = 'not tried'
        $null = $entry.Notes.Add("it needs '$Needs'")
        return
    }
    Write-Host "$Name ..."
    $watch = [System.Diagnostics.Stopwatch]::StartNew()
    try {
        . $Script | ForEach-Object { $null = $entry.Notes.Add((Hide-Private -Text "$_")) }
        $entry.Result = 'good'
    } catch {
        $entry.Errors = @(foreach ($record in $_) {
            $position = $record.InvocationInfo
            @{
                Message = Hide-Private -Text "$record"
                Id      = $record.FullyQualifiedErrorId
                Type    = $record.Exception.GetType().FullName
                Command = if ($position) { "$($position.MyCommand)" }
                Where   = Hide-Private -Text $record.ScriptStackTrace
                Inner   = Hide-Private -Text "$($record.Exception.InnerException)"
            }
        })
    }
    $entry.Seconds = [math]::Round($watch.Elapsed.TotalSeconds, 1)
}

function Get-Version {
    # What runs here, as far as it tells.
    $ask = @{
        Module     = { "$($module.Version)" }
        PowerShell = { "$($PSVersionTable.PSVersion) $($PSVersionTable.PSEdition)" }
        Windows    = { "$([System.Environment]::OSVersion.VersionString)" }
        Edition    = { "$((Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion').ProductName)" }
        HyperV     = { "$((Get-Command -Name 'Get-VM').Module.Version)" }
        Ssh        = { "$((Get-Command -Name 'ssh' -CommandType Application | Select-Object -First 1).Version)" }
        Culture    = { "$([System.Globalization.CultureInfo]::CurrentCulture.Name) $([System.Globalization.CultureInfo]::CurrentUICulture.Name)" }
    }
    $found = @{}
    foreach ($topic in $ask.Keys) {
        $found[$topic] = try { & $ask[$topic] } catch { 'not known' }
    }
    $found
}

function Write-Report {
    $version = Get-Version
    $when = (Get-Date).ToUniversalTime().ToString('s') + 'Z'
    $all = @{ Format = 1; At = $when; Versions = $version; Checks = @($check) }
    $line = @("first-run.ps1 of SnapMirror, $when", '') + @($version.Keys | Sort-Object | ForEach-Object { "${_}: $($version[$_])" }) + ''
    foreach ($entry in $check) {
        $line += '{0,-10} {1} ({2} s)' -f $entry.Result, $entry.Name, $entry.Seconds
        $line += @($entry.Notes | ForEach-Object { "             $_" })
        foreach ($one in $entry.Errors) {
            $line += "             $($one.Message)", "             $($one.Id), $($one.Type), by $($one.Command)", "             $($one.Where)"
        }
    }
    $plain = New-Object -TypeName System.Text.UTF8Encoding -ArgumentList $false
    $json = ConvertTo-Json -InputObject $all -Depth 6
    [System.IO.File]::WriteAllText((Join-Path $folder 'first-run.json'), $json, $plain)
    [System.IO.File]::WriteAllText((Join-Path $folder 'first-run.txt'), ($line -join "`r`n"), $plain)
}

function Assert-That {
    param([bool] $Holds, [string] $Text)
    if (-not $Holds) {
        throw $Text
    }
}

function Invoke-OwnTest {
    # Some tests of the module, by Pester in a process of their own; gives a line for each that failed, and one for all.
    $engine = Join-Path -Path $PSHOME -ChildPath $(if ($PSVersionTable.PSEdition -eq 'Core') { 'pwsh' } else { 'powershell' })
    $command = @'
$ProgressPreference = $WarningPreference = 'SilentlyContinue'
Import-Module -Name Pester -MinimumVersion 5.0 -ErrorAction Stop
$configuration = New-PesterConfiguration
$configuration.Run.Path = '{0}'
$configuration.Run.PassThru = $true
$configuration.Filter.ExcludeTag = 'Doubles'
$configuration.Output.Verbosity = 'None'
$all = Invoke-Pester -Configuration $configuration
$all.Tests | Where-Object { $_.Result -eq 'Failed' } | ForEach-Object { "failed: $($_.ExpandedPath): $($_.ErrorRecord)" -replace '\s+', ' ' }
$all.FailedContainers + $all.FailedBlocks | Where-Object { $_ } | ForEach-Object { "failed: $($_.ErrorRecord)" -replace '\s+', ' ' }
"$($all.PassedCount) passed, $($all.FailedCount) failed"
exit [int]($all.Result -ne 'Passed' -or $all.PassedCount -eq 0)
'@.Replace('{0}', [System.Management.Automation.Language.CodeGeneration]::EscapeSingleQuotedStringContent($TestPath))
    $words = [System.Convert]::ToBase64String([System.Text.Encoding]::Unicode.GetBytes($command))
    & $engine -NoProfile -NonInteractive -OutputFormat Text -EncodedCommand $words |
        Where-Object { $_ -match '^failed: |^\d+ passed, ' } # not what the tests show besides
    Assert-That ($LASTEXITCODE -eq 0) 'some of the tests failed, or they could not be run'
}

try {
    $without = if (-not (Test-Path -LiteralPath $TestPath)) {
        "$TestPath is not here"
    } elseif (-not @(Get-Module -Name 'Pester' -ListAvailable | Where-Object { $_.Version.Major -ge 5 })) {
        'Pester 5 is not here: Install-Module Pester -MinimumVersion 5.0 -SkipPublisherCheck'
    }
    Invoke-Check -Name "the module's own tests" -Lacks $without -Script {
        Invoke-OwnTest
    }
    Invoke-Check -Name 'the host' -Script {
        $asked = @{}
        foreach ($word in $install.Keys | Where-Object { 'Source', 'SeedPath', 'MirrorName' -notcontains $_ }) {
            $asked[$word] = $install[$word]
        }
        $found = @(Test-SnapMirrorHost @asked)
        $found | ForEach-Object { "$($_.Verdict): $($_.Name): $($_.Message)" }
        Assert-That (-not @($found | Where-Object { $_.Verdict -eq 'Bad' })) 'something is in the way'
    }
    Invoke-Check -Name 'install with -WhatIf makes nothing' -Script {
        Install-SnapMirror @install -WhatIf
        Assert-That (-not (Test-Path -LiteralPath $SharePath)) "$SharePath was made"
    }
    Invoke-Check -Name 'install' -Script {
        $done = Install-SnapMirror @install -Confirm:$false
        $known['ServerKey'] = $done.ServerKey
        $done.Steps | ForEach-Object { "$($_.Name): $($_.Done)" }
        $done.Checks | ForEach-Object { "doctor: $($_.Level): $($_.Topic): $($_.Message)" }
    }
    Invoke-Check -Name 'a second install changes nothing' -Needs 'install' -Script {
        $changed = @((Install-SnapMirror @install -Confirm:$false).Steps | Where-Object { $_.Done -ne 'nothing' })
        Assert-That (-not $changed) "done again: $(@($changed | ForEach-Object { $_.Name }) -join ', ')"
    }
    if ($known.ContainsKey('ServerKey') -and -not $Force) {
        Write-Host "Put this line into authorized_keys of the server, if its key is not there yet:`n`n$($known['ServerKey'])`n"
        $null = Read-Host -Prompt 'Return when it is there'
    }
    Invoke-Check -Name 'status' -Needs 'install' -Script {
        (Get-SnapMirrorStatus).Findings
    }
    Invoke-Check -Name 'a snapshot' -Needs 'install' -Script {
        $run = Invoke-SnapMirrorRun -ErrorAction Stop -Confirm:$false
        "$($run.Result), exit code $LASTEXITCODE"
        Assert-That ($run.Snapshot -and 0, 3 -contains $LASTEXITCODE) 'no snapshot was made'
    }
    Invoke-Check -Name 'the list' -Needs 'a snapshot' -Script {
        $known['Snapshots'] = @(Get-SnapMirrorSnapshot)
        Assert-That ($known['Snapshots'].Count -eq 1) "$($known['Snapshots'].Count) snapshots"
        $known['Snapshots'] | Out-String -Width 100
    }
    Invoke-Check -Name 'Tab' -Needs 'a snapshot' -Script {
        $line = 'Restore-SnapMirrorItem -Path /'
        $offered = @((TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches)
        Assert-That ($offered.Count -gt 0) 'no name is offered'
        "$($offered.Count) names"
    }
    Invoke-Check -Name 'a restore' -Needs 'a snapshot' -Script {
        $place = Join-Path -Path ([System.IO.Path]::GetTempPath()) -ChildPath "snapmirror-$([guid]::NewGuid())"
        try {
            $restored = @(Restore-SnapMirrorItem -Path $RestorePath -Destination $place -Force -ErrorAction Stop)
            Assert-That ($restored.Count -eq 1 -and $LASTEXITCODE -eq 0) "exit code $LASTEXITCODE, $($restored.Count) items"
            "$($restored[0].Length) bytes"
        } finally {
            Get-Item -Path "$place*" | Remove-Item -Recurse -Force -Confirm:$false
        }
    }
    Invoke-Check -Name 'the check of all contents' -Needs 'a snapshot' -Script {
        $wrong = @((Test-SnapMirrorSnapshot -Full -ErrorAction Stop).Findings)
        Assert-That (-not $wrong) "$($wrong.Count) findings"
    }
    if ($CopyPath) {
        Invoke-Check -Name 'the copy of the image' -Needs 'a snapshot' -Script {
            $copy = Copy-SnapMirrorImage -Path $CopyPath -ErrorAction Stop -Confirm:$false
            "$($copy.Result), $($copy.WrittenBytes) bytes"
            Assert-That ($LASTEXITCODE -eq 0) "exit code $LASTEXITCODE"
        }
    }
} finally {
    try {
        if (Test-Path -LiteralPath (Join-Path $data 'installation.json')) {
            Invoke-Check -Name 'uninstall' -Script {
                $wrong = @()
                Uninstall-SnapMirror -Force -ErrorVariable wrong -ErrorAction SilentlyContinue | ForEach-Object { "stays: $($_.FullName) (remove it yourself: Get-Help .\first-run.ps1)" }
                Assert-That (-not $wrong) ($wrong -join '; ')
            }
            Invoke-Check -Name 'nothing is left' -Needs 'uninstall' -Script {
                $left = @(
                    Get-VM | Where-Object { $_.Name -eq $VMName } | ForEach-Object { "VM $($_.Name)" }
                    Get-VMSwitch | Where-Object { $_.Name -eq 'SnapMirror' } | ForEach-Object { "switch $($_.Name)" }
                    Get-SmbShare | Where-Object { $_.Name -like "$ShareName*" } | ForEach-Object { "share $($_.Name)" }
                    Get-LocalUser | Where-Object { $_.Name -eq $Account } | ForEach-Object { "account $($_.Name)" }
                    Get-NetFirewallRule | Where-Object { $_.Name -eq 'SnapMirror' } | ForEach-Object { "rule $($_.Name)" }
                    Get-ScheduledTask | Where-Object { $_.TaskName -eq 'SnapMirror' } | ForEach-Object { "task $($_.TaskName)" }
                )
                Assert-That (-not $left) ($left -join ', ')
            }
        }
    } finally {
        Write-Report
    }
}
foreach ($entry in $check) {
    New-Object -TypeName psobject -Property @{ Name = $entry.Name; Result = $entry.Result; Seconds = $entry.Seconds }
}
Write-Host "The report: $(Join-Path $folder 'first-run.txt'), and .json beside it. Please look through it, and send both."
$global:LASTEXITCODE = [int](@($check | Where-Object { $_.Result -eq 'failed' }).Count -gt 0)
exit $LASTEXITCODE
