function Invoke-SnapMirrorCommand {
    # Run a command of snapmirror in the VM, by ssh, and give its exit code, as objects the JSON that it printed, and what
    # it said on stderr, which is shown as it comes; with -Activity as progress, where it tells that. $LASTEXITCODE is
    # snapmirror's, or ssh's 255.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [AllowEmptyString()] [string[]] $Word,
        [string] $KeyFile,
        [string] $Activity,
        [switch] $Quiet
    )

    $ErrorActionPreference = 'Stop' # an unreadable answer is none, whatever the caller does with errors
    $setting = Get-SnapMirrorSetting
    $argument = @(Get-SnapMirrorSshOption -KeyFile $KeyFile) + @(
        '-T', "$($setting.User)@$($setting.Address)", 'snapmirror', (ConvertTo-SnapMirrorWord -Word $Word)
    )
    $ssh = Get-SnapMirrorProgram -Name 'ssh'
    $status = { param($Line) Read-SnapMirrorProgress -Line $Line }
    $done = Invoke-SnapMirrorProgram -Program $ssh -Argument $argument -Activity $Activity -Status $status -Quiet:$Quiet
    $global:LASTEXITCODE = $done.ExitCode

    $found = @()
    $kind = (Get-SnapMirrorContract).Command[$Word[0]]
    if ($kind -and $done.Output) {
        $found = @(foreach ($one in (ConvertFrom-SnapMirrorJson -Text ($done.Output -join "`n"))) {
            ConvertTo-SnapMirrorObject -InputObject $one -TypeName $kind.Type -Inner $kind.Inner
        })
    }
    New-Object -TypeName psobject -Property @{ ExitCode = $done.ExitCode; Output = $found; Said = $done.Said }
}
