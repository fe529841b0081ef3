function Invoke-SnapMirrorCommand {
    # Run a command of snapmirror in the VM, by ssh, and give its exit code and, as objects, the JSON that it printed.
    # What it says on stderr goes to the console as it comes. $LASTEXITCODE is snapmirror's, or ssh's 255.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [AllowEmptyString()] [string[]] $Word,
        [string] $KeyFile
    )

    $setting = Get-SnapMirrorSetting
    $ssh = Get-SnapMirrorProgram -Name 'ssh'
    $argument = @(Get-SnapMirrorSshOption -KeyFile $KeyFile) + @(
        '-T', "$($setting.User)@$($setting.Address)", 'snapmirror', (ConvertTo-SnapMirrorWord -Word $Word)
    )
    $printed = (& $ssh $argument) -join "`n"
    $code = $LASTEXITCODE

    $found = @()
    $kind = (Get-SnapMirrorContract).Command[$Word[0]]
    if ($kind -and $printed.Trim()) {
        # A list comes out of ConvertFrom-Json as one object in 5.1, one by one in 7: foreach takes both.
        $found = @(foreach ($one in (ConvertFrom-Json -InputObject $printed)) {
            ConvertTo-SnapMirrorObject -InputObject $one -TypeName $kind.Type -Inner $kind.Inner
        })
    }
    New-Object -TypeName psobject -Property @{ ExitCode = $code; Output = $found }
}
