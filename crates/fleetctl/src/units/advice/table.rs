//! The options that these know: systemd 252 (252.39-1~deb12u2) and systemd 257 (257.13-1~deb13u1).
//! Made by `table.sh` of `--dump-configuration-items`; change that, not this.

/// Sections, and the options that each of them has, both separated by blanks.
#[rustfmt::skip]
pub(super) const OPTIONS: &[(&str, &str)] = &[
    ("Automount", "\
        ExtraOptions TimeoutIdleSec"),
    ("Install", "\
        Alias Also DefaultInstance RequiredBy UpheldBy WantedBy"),
    ("Mount", "\
        ForceUnmount LazyUnmount ReadWriteOnly SloppyOptions"),
    ("Mount Automount", "\
        Where"),
    ("Mount Swap", "\
        Options What"),
    ("Path", "\
        DirectoryNotEmpty MakeDirectory PathChanged PathExists PathExistsGlob PathModified"),
    ("Service", "\
        BusName ExecCondition ExecReload ExecStart ExecStop ExitType FileDescriptorStoreMax \
        FileDescriptorStorePreserve GuessMainPID NonBlocking NotifyAccess OpenFile PIDFile \
        PermissionsStartOnly ReloadSignal RemainAfterExit Restart RestartForceExitStatus \
        RestartMaxDelaySec RestartMode RestartPreventExitStatus RestartSec RestartSteps \
        RootDirectoryStartOnly Sockets SuccessExitStatus TimeoutAbortSec \
        TimeoutStartFailureMode TimeoutStartSec TimeoutStopFailureMode USBFunctionDescriptors \
        USBFunctionStrings WatchdogSec"),
    ("Service Mount", "\
        Type"),
    ("Service Scope", "\
        OOMPolicy RuntimeMaxSec RuntimeRandomizedExtraSec TimeoutStopSec"),
    ("Service Socket", "\
        ExecStartPost ExecStartPre ExecStopPost"),
    ("Service Socket Mount Swap", "\
        AmbientCapabilities AppArmorProfile BindLogSockets BindPaths BindReadOnlyPaths \
        CPUAffinity CPUSchedulingPolicy CPUSchedulingPriority CPUSchedulingResetOnFork \
        CacheDirectory CacheDirectoryMode CapabilityBoundingSet ConfigurationDirectory \
        ConfigurationDirectoryMode CoredumpFilter DynamicUser Environment EnvironmentFile \
        ExecPaths ExecSearchPath ExtensionDirectories ExtensionImagePolicy ExtensionImages \
        Group IOSchedulingClass IOSchedulingPriority IPCNamespacePath IgnoreSIGPIPE \
        ImportCredential InaccessibleDirectories InaccessiblePaths KeyringMode LimitAS \
        LimitCORE LimitCPU LimitDATA LimitFSIZE LimitLOCKS LimitMEMLOCK LimitMSGQUEUE LimitNICE \
        LimitNOFILE LimitNPROC LimitRSS LimitRTPRIO LimitRTTIME LimitSIGPENDING LimitSTACK \
        LoadCredential LoadCredentialEncrypted LockPersonality LogExtraFields LogFilterPatterns \
        LogLevelMax LogNamespace LogRateLimitBurst LogRateLimitIntervalSec LogsDirectory \
        LogsDirectoryMode MemoryDenyWriteExecute MemoryKSM MountAPIVFS MountFlags \
        MountImagePolicy MountImages NUMAMask NUMAPolicy NetworkNamespacePath Nice NoExecPaths \
        NoNewPrivileges OOMScoreAdjust PAMName PassEnvironment Personality PrivateDevices \
        PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp PrivateUsers ProcSubset \
        ProtectClock ProtectControlGroups ProtectHome ProtectHostname ProtectKernelLogs \
        ProtectKernelModules ProtectKernelTunables ProtectProc ProtectSystem \
        ReadOnlyDirectories ReadOnlyPaths ReadWriteDirectories ReadWritePaths RemoveIPC \
        RestrictAddressFamilies RestrictFileSystems RestrictNamespaces RestrictRealtime \
        RestrictSUIDSGID RootDirectory RootEphemeral RootHash RootHashSignature RootImage \
        RootImageOptions RootImagePolicy RootVerity RuntimeDirectory RuntimeDirectoryMode \
        RuntimeDirectoryPreserve SELinuxContext SecureBits SetCredential SetCredentialEncrypted \
        SetLoginEnvironment SmackProcessLabel StandardError StandardInput StandardInputData \
        StandardInputText StandardOutput StateDirectory StateDirectoryMode SupplementaryGroups \
        SyslogFacility SyslogIdentifier SyslogLevel SyslogLevelPrefix SystemCallArchitectures \
        SystemCallErrorNumber SystemCallFilter SystemCallLog TTYColumns TTYPath TTYReset \
        TTYRows TTYVHangup TTYVTDisallocate TemporaryFileSystem TimeoutCleanSec TimeoutSec \
        TimerSlackNSec UMask UnsetEnvironment User UtmpIdentifier UtmpMode WorkingDirectory"),
    ("Service Socket Mount Swap Scope", "\
        FinalKillSignal KillMode KillSignal RestartKillSignal SendSIGHUP SendSIGKILL \
        WatchdogSignal"),
    ("Service Socket Mount Swap Slice Scope", "\
        AllowedCPUs AllowedMemoryNodes BPFProgram BlockIOAccounting BlockIODeviceWeight \
        BlockIOReadBandwidth BlockIOWeight BlockIOWriteBandwidth CPUAccounting CPUQuota \
        CPUQuotaPeriodSec CPUShares CPUWeight CoredumpReceive DefaultMemoryLow DefaultMemoryMin \
        DefaultStartupMemoryLow Delegate DelegateSubgroup DeviceAllow DevicePolicy \
        DisableControllers IOAccounting IODeviceLatencyTargetSec IODeviceWeight \
        IOReadBandwidthMax IOReadIOPSMax IOWeight IOWriteBandwidthMax IOWriteIOPSMax \
        IPAccounting IPAddressAllow IPAddressDeny IPEgressFilterPath IPIngressFilterPath \
        ManagedOOMMemoryPressure ManagedOOMMemoryPressureDurationSec \
        ManagedOOMMemoryPressureLimit ManagedOOMPreference ManagedOOMSwap MemoryAccounting \
        MemoryHigh MemoryLimit MemoryLow MemoryMax MemoryMin MemoryPressureThresholdSec \
        MemoryPressureWatch MemorySwapMax MemoryZSwapMax MemoryZSwapWriteback NFTSet \
        RestrictNetworkInterfaces Slice SocketBindAllow SocketBindDeny StartupAllowedCPUs \
        StartupAllowedMemoryNodes StartupBlockIOWeight StartupCPUShares StartupCPUWeight \
        StartupIOWeight StartupMemoryHigh StartupMemoryLow StartupMemoryMax \
        StartupMemorySwapMax StartupMemoryZSwapMax TasksAccounting TasksMax"),
    ("Socket", "\
        Accept Backlog BindIPv6Only BindToDevice Broadcast DeferAcceptSec ExecStopPre \
        FileDescriptorName FlushPending FreeBind IPTOS IPTTL KeepAlive KeepAliveIntervalSec \
        KeepAliveProbes KeepAliveTimeSec ListenDatagram ListenFIFO ListenMessageQueue \
        ListenNetlink ListenSequentialPacket ListenSpecial ListenStream ListenUSBFunction Mark \
        MaxConnections MaxConnectionsPerSource MessageQueueMaxMessages MessageQueueMessageSize \
        NoDelay PassCredentials PassFileDescriptorsToExec PassPacketInfo PassSecurity PipeSize \
        PollLimitBurst PollLimitIntervalSec ReceiveBuffer RemoveOnStop ReusePort \
        SELinuxContextFromNet SendBuffer Service SmackLabel SmackLabelIPIn SmackLabelIPOut \
        SocketGroup SocketMode SocketProtocol SocketUser Symlinks TCPCongestion Timestamping \
        Transparent Writable"),
    ("Socket Mount Automount Path", "\
        DirectoryMode"),
    ("Socket Path", "\
        TriggerLimitBurst TriggerLimitIntervalSec"),
    ("Socket Swap", "\
        Priority"),
    ("Timer", "\
        AccuracySec DeferReactivation FixedRandomDelay OnActiveSec OnBootSec OnCalendar \
        OnClockChange OnStartupSec OnTimezoneChange OnUnitActiveSec OnUnitInactiveSec \
        Persistent RandomizedDelaySec RemainAfterElapse WakeSystem"),
    ("Timer Path", "\
        Unit"),
    ("Unit", "\
        After AllowIsolate AssertACPower AssertArchitecture AssertCPUFeature AssertCPUPressure \
        AssertCPUs AssertCapability AssertControlGroupController AssertCredential \
        AssertDirectoryNotEmpty AssertEnvironment AssertFileIsExecutable AssertFileNotEmpty \
        AssertFirstBoot AssertGroup AssertHost AssertIOPressure AssertKernelCommandLine \
        AssertKernelVersion AssertMemory AssertMemoryPressure AssertNeedsUpdate AssertOSRelease \
        AssertPathExists AssertPathExistsGlob AssertPathIsDirectory AssertPathIsEncrypted \
        AssertPathIsMountPoint AssertPathIsReadWrite AssertPathIsSymbolicLink AssertSecurity \
        AssertUser AssertVirtualization Before BindTo BindsTo CollectMode ConditionACPower \
        ConditionArchitecture ConditionCPUFeature ConditionCPUPressure ConditionCPUs \
        ConditionCapability ConditionControlGroupController ConditionCredential \
        ConditionDirectoryNotEmpty ConditionEnvironment ConditionFileIsExecutable \
        ConditionFileNotEmpty ConditionFirmware ConditionFirstBoot ConditionGroup ConditionHost \
        ConditionIOPressure ConditionKernelCommandLine ConditionKernelVersion ConditionMemory \
        ConditionMemoryPressure ConditionNeedsUpdate ConditionOSRelease ConditionPathExists \
        ConditionPathExistsGlob ConditionPathIsDirectory ConditionPathIsEncrypted \
        ConditionPathIsMountPoint ConditionPathIsReadWrite ConditionPathIsSymbolicLink \
        ConditionSecurity ConditionUser ConditionVirtualization Conflicts DefaultDependencies \
        Description Documentation FailureActionExitStatus IgnoreOnIsolate JobRunningTimeoutSec \
        JobTimeoutAction JobTimeoutRebootArgument JobTimeoutSec JoinsNamespaceOf OnFailure \
        OnFailureIsolate OnFailureJobMode OnSuccess OnSuccessJobMode PartOf PropagateReloadFrom \
        PropagateReloadTo PropagatesReloadTo PropagatesStopTo RefuseManualStart \
        RefuseManualStop ReloadPropagatedFrom Requires RequiresMountsFor RequiresOverridable \
        Requisite RequisiteOverridable SourcePath StartLimitIntervalSec StopPropagatedFrom \
        StopWhenUnneeded SuccessAction SuccessActionExitStatus SurviveFinalKillSignal Upholds \
        Wants WantsMountsFor"),
    ("Unit Service", "\
        FailureAction RebootArgument StartLimitAction StartLimitBurst StartLimitInterval"),
];
