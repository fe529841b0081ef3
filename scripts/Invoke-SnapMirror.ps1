<#
.SYNOPSIS
    Runs a command of snapmirror in its VM: one file, for those who do not want the module.
.DESCRIPTION
    Starts the VM if it is one of Hyper-V and off, keeps Windows awake meanwhile, hands the words to snapmirror in the VM
    by ssh, shows what it says, and ends with snapmirror's exit code (255: the VM does not answer, or cannot be started).

    The VM must let the key in by this line of its authorized_keys:
    restrict,command="/usr/bin/python3 -I /usr/local/lib/snapmirror-vm/gate.py" ssh-ed25519 AAAA...
.PARAMETER Word
    The command and its words, as on Linux. Those that begin with a hyphen stand in quotes. Without any: run.
.PARAMETER Address
    The VM's address.
.PARAMETER KeyFile
    The private key for it.
.PARAMETER KnownHosts
    The file with the VM's host key.
.PARAMETER VMName
    The VM's name in Hyper-V. Without it, the VM is taken to run.
.EXAMPLE
    .\Invoke-SnapMirror.ps1 -Address 10.253.71.2 -KeyFile C:\Keys\id_ed25519 -KnownHosts C:\Keys\known_hosts

    A snapshot of every mirror.
.EXAMPLE
    .\Invoke-SnapMirror.ps1 list '--mirror' web1 -Address 10.253.71.2 -KeyFile C:\Keys\id_ed25519 -KnownHosts C:\Keys\known_hosts

    The snapshots of web1.
.EXAMPLE
    schtasks /Create /TN SnapMirror /RU SYSTEM /SC DAILY /ST 03:00 /TR "powershell -NoProfile -ExecutionPolicy Bypass -File C:\SnapMirror\Invoke-SnapMirror.ps1 run -Address 10.253.71.2 -KeyFile C:\SnapMirror\id -KnownHosts C:\SnapMirror\known"

    Every night. (schtasks can neither wake the host nor lift the limit of three days: the module's task does both.)
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Position = 0, ValueFromRemainingArguments)] [string[]] $Word = @('run'),
    [Parameter(Mandatory)] [string] $Address,
    [Parameter(Mandatory)] [string] $KeyFile,
    [Parameter(Mandatory)] [string] $KnownHosts,
    [string] $VMName
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

if (-not $PSCmdlet.ShouldProcess($Address, "snapmirror $($Word -join ' ')")) {
    exit 0
}
$ssh = (Get-Command -Name 'ssh' -CommandType Application | Select-Object -First 1).Source
# The words as JSON in base64: Windows PowerShell 5.1 loses quotes and letters beyond ASCII in arguments.
$json = ConvertTo-Json -InputObject @($Word) -Compress
$words = [System.Convert]::ToBase64String([System.Text.Encoding]::UTF8.GetBytes($json))
# ssh takes the value apart at blanks, unless it is in quotes; in these it takes backslashes for its own.
$known = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($KnownHosts)
if ($env:OS -eq 'Windows_NT') {
    $known = $known -replace '\\', '/'
}
$option = @(
    '-F', 'none', '-T', '-i', $PSCmdlet.GetUnresolvedProviderPathFromPSPath($KeyFile), '-o', 'BatchMode=yes',
    '-o', 'StrictHostKeyChecking=yes', '-o', "UserKnownHostsFile=`"$known`"", '-o', 'IdentitiesOnly=yes',
    '-o', 'ConnectTimeout=20', '-o', 'ServerAliveInterval=30', '-o', 'LogLevel=ERROR'
)

function Invoke-Ssh {
    # Gives the lines that are printed as they come, and the exit code at the end, in $LASTEXITCODE. By .NET, with one
    # line of arguments: neither 5.1 nor 7's Legacy setting hands quotes on. It gets no stdin: that is the caller's.
    param([string[]] $Argument)

    $start = New-Object -TypeName System.Diagnostics.ProcessStartInfo
    $start.FileName = $ssh
    $start.Arguments = @(foreach ($one in $Argument) {
        '"' + (($one -replace '(\\*)"', '$1$1\"') -replace '(\\+)$', '$1$1') + '"'
    }) -join ' '
    $start.UseShellExecute = $false
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.StandardOutputEncoding = [System.Text.Encoding]::UTF8
    $process = [System.Diagnostics.Process]::Start($start)
    $process.StandardInput.Close()
    while ($true) {
        $next = $process.StandardOutput.ReadLineAsync()
        while (-not $next.Wait(200)) {
            continue # so that the caller can be stopped here
        }
        if ($null -eq $next.Result) {
            break
        }
        $next.Result
    }
    $process.WaitForExit()
    $global:LASTEXITCODE = $process.ExitCode
}

if ($env:OS -eq 'Windows_NT') {
    # Windows that a task has woken sleeps again after two minutes, whatever runs. This ends with the process.
    Add-Type -Namespace 'SnapMirror' -Name 'Sleep' -MemberDefinition @'
[DllImport("kernel32.dll")]
public static extern uint SetThreadExecutionState(uint flags);
'@
    $null = [SnapMirror.Sleep]::SetThreadExecutionState([uint32]2147483649)
}
if ($VMName) {
    $trouble = $null
    try {
        if ((Get-VM -Name $VMName -ErrorAction Stop).State -ne 'Running') {
            Start-VM -Name $VMName -Confirm:$false -ErrorAction Stop
            $trouble = 'it has not answered by ssh in 30 tries; its console (vmconnect) shows why'
            for ($attempt = 0; $attempt -lt 30 -and $trouble; $attempt++) {
                Invoke-Ssh -Argument ($option + "root@$Address" + 'snapmirror' + 'WyJzdGF0dXMiXQ==') | Out-Null # ["status"]
                if ($LASTEXITCODE -ne 255) {
                    $trouble = $null
                } else {
                    Start-Sleep -Seconds 10
                }
            }
        }
    } catch {
        $trouble = "$_"
    }
    if ($trouble) {
        $Host.UI.WriteErrorLine("the VM $VMName does not run: $trouble")
        exit 255
    }
}
Invoke-Ssh -Argument ($option + "root@$Address" + 'snapmirror' + $words)
exit $LASTEXITCODE
